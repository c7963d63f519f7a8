"""The pages and charts of the project: one Jinja environment, one base page, one style of plots."""
