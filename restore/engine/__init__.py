"""The network on ONNX Runtime: a file of graphs, checked, loaded and run."""

from restore.engine.model_file import ModelMetadata, default_model_path
from restore.engine.network import Network

__all__ = ["ModelMetadata", "Network", "default_model_path"]
