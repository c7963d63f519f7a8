"""Model packages from elsewhere: catalogues, downloads and archives."""
