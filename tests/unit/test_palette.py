"""Colours that mean something stay apart with every kind of colour vision, and words on them are legible."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from dashboard.figures import BAND, COVERED, FLAG, LINE, NOT_COVERED, OUTSIDE
from dashboard.rasters import NOT_RECORDED, SLEEP_COLORS

MIN_DELTA_E = 24
CONTRAST = 4.5
STYLESHEET = (Path(__file__).resolve().parents[2] / "dashboard" / "assets" / "evenkeel.css").read_text()

# Machado, Oliveira, Fernandes 2009 (doi:10.1109/TVCG.2009.113), severity 1, on linear RGB.
VISION = {
    "all colours": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color: str) -> np.ndarray:
    part = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(color: str, vision: str) -> np.ndarray:
    seen = np.clip(VISION[vision] @ linear(color), 0, 1)
    scaled = (XYZ @ seen) / (XYZ @ np.ones(3))
    root = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def contrast(one: str, other: str) -> float:
    light = sorted(0.05 + float(XYZ[1] @ linear(color)) for color in (one, other))
    return light[1] / light[0]


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize(
    "told_apart",
    [
        (*SLEEP_COLORS, NOT_RECORDED),
        (COVERED, NOT_COVERED),
        (BAND, LINE, OUTSIDE),
        (FLAG, BAND),
    ],
)
def test_colours_that_mean_something_are_told_apart(vision, told_apart):
    for one, other in combinations(told_apart, 2):
        assert np.linalg.norm(lab(one, vision) - lab(other, vision)) >= MIN_DELTA_E, (one, other)


def test_words_on_their_ground_are_legible():
    for rule in re.findall(r"\.level\.[\w-]+ \{[^}]*background: (#\w+); color: (#\w+)", STYLESHEET):
        assert contrast(*rule) >= CONTRAST, rule
    named = dict(re.findall(r"--(\w+): (#\w{6})", STYLESHEET))
    for ground in ("paper", "card", "wash"):
        for ink in ("ink", "quiet", "blue", "outside", "flag"):
            assert contrast(named[ink], named[ground]) >= CONTRAST, (ink, ground)
