"""What cameras saw: detections, their pictures, and what people said of them."""
