"""One module a layout: `fits(folder)` says whether a folder has it, `read(folder, ...)` reads and checks it."""
