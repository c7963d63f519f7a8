"""Where studies come from while a department works: a folder, an archive that is asked, a receiver that is sent to."""
