"""Data sets in the form of YOLO: a text file of boxes, outlines or key points for each image."""
