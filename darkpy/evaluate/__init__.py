"""Measure detections against truths: darknet's map and recall, COCO's numbers, result files."""
