"""The napari plugin: a widget that restores layers, and sample images.

napari finds it by `napari.yaml`. Nothing here imports torch: a layer is restored in a process of
its own (`unifmir.zoo.restore.restoring_process`).
"""
