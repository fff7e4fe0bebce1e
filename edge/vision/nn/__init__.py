"""Neural networks: model.toml, ONNX sessions, heads; from a picture to scores and boxes."""
