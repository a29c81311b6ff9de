"""BioImage.IO packages: one zip that Fiji, ilastik, BiaPy, QuPath and BioEngine read."""
