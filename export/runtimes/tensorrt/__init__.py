"""TensorRT: engines that are checked before they are loaded, and their sessions."""
