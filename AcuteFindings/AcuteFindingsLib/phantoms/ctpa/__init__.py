"""CT pulmonary angiograms of no patient."""
