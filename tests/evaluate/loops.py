"""Darknet's mean average precision in plain loops: slow, and close to its own words."""

import math

import numpy as np

f = np.float32


def box_iou(a, b):
    def overlap(x1, w1, x2, w2):
        return min(x1 + w1 / 2, x2 + w2 / 2) - max(x1 - w1 / 2, x2 - w2 / 2)

    w, h = overlap(a[0], a[2], b[0], b[2]), overlap(a[1], a[3], b[1], b[3])
    inter = 0 if w < 0 or h < 0 else w * h
    union = a[2] * a[3] + b[2] * b[3] - inter
    return f(0) if inter == 0 or union == 0 else inter / union


def darknet_map(pictures, classes, thresh, iou_thresh, points):
    """Return (ap, tp, fp, detections, avg_iou); pictures are (boxes, probs, truths, difficult)."""
    detections, unique = [], 0
    truths_of = [0] * classes
    tp, fp, total_iou = [0] * classes, [0] * classes, 0.0
    for boxes, probs, truths, difficult in pictures:
        for truth in truths:
            truths_of[int(truth[0])] += 1
        first = len(detections)
        for i in range(len(boxes)):
            for k in range(classes):
                if not probs[i, k] > 0:
                    continue
                index, most = -1, 0
                for j, truth in enumerate(truths):
                    share = box_iou(boxes[i], truth[1:])
                    if share > f(iou_thresh) and k == truth[0] and share > most:
                        most, index = share, unique + j
                excused = index < 0 and any(
                    box_iou(boxes[i], one[1:]) > f(iou_thresh) and k == one[0] for one in difficult
                )
                if probs[i, k] > f(thresh):
                    before = any(one[2] == index for one in detections[first:])
                    if index >= 0 and not before:
                        total_iou += most
                        tp[k] += 1
                    else:
                        fp[k] += 1
                if not excused:
                    detections.append((probs[i, k], k, index))
        unique += len(truths)
    detections.sort(key=lambda one: -one[0])
    ap = [curve_area(detections, k, truths_of[k], points) for k in range(classes)]
    above = sum(tp) + sum(fp)
    return ap, tp, fp, len(detections), total_iou / above if above else 0.0


def curve_area(detections, k, objects, points):
    """Walk through all ranks, those of other classes too, as darknet does."""
    curve, seen, tp, fp = [], set(), 0, 0
    for _, class_id, index in detections:
        if class_id == k:
            if index >= 0 and index not in seen:
                seen.add(index)
                tp += 1
            else:
                fp += 1
        precision = tp / (tp + fp) if tp + fp else 0.0
        curve.append((precision, tp / objects if objects else 0.0))
    if not curve:
        return 0.0
    if points:
        step = 1 / (points - 1)  # gcc -Ofast multiplies where the source divides
        reached = [max((p for p, r in curve if r >= n * step), default=0) for n in range(points)]
        return math.fsum(reached) / points
    area, (best, last) = 0.0, curve[-1]
    for precision, recall in reversed(curve[:-1]):
        delta, last = last - recall, recall
        best = max(best, precision)
        area += delta * best
    return area + last * best
