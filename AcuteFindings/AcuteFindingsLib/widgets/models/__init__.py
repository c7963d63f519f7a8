"""Models and providers: choosing, checking, importing, downloading."""
