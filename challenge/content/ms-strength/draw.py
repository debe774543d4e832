"""Draws every exercise as a figure made of joints. Run it after changing a pose; it writes `pictures/*.svg` and `*.png`.

One rig keeps the person the same from day 1 to day 5: the start pose as a ghost, the muscles that work in the accent
colour, dark arrows for the movement, a steady chair wherever a person stands. A pose is {joint: (x, y)} on a canvas of
400 x 400; what is not named in a pose is taken from the one it builds on.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

PICTURES = Path(__file__).parent / "pictures"
WIDTH = 560
INK, SKIN, SHIRT, LEGS, FAR, WORK = "#12343b", "#c98f6b", "#2f7f86", "#3d5a66", "#5b7682", "#e07a3f"
GHOST, CHAIR, FLOOR, PAPER, MAT, TOWEL = "#d9d2c5", "#b9a98f", "#e9e2d5", "#fbf8f3", "#cfe0dc", "#f0e3c8"
Point = tuple[float, float]
Pose = dict[str, Point]


def limb(*points: Point, width: float, colour: str) -> str:
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
    style = 'stroke-linecap="round" stroke-linejoin="round" fill="none"'
    return f'<path d="{path}" stroke="{colour}" stroke-width="{width:g}" {style}/>'


def arrow(start: Point, end: Point, bend: float = 0) -> str:
    (x1, y1), (x2, y2) = start, end
    cx, cy = (x1 + x2) / 2 + bend * (y2 - y1) / 100, (y1 + y2) / 2 - bend * (x2 - x1) / 100
    path = f"M{x1:g} {y1:g} Q{cx:g} {cy:g} {x2:g} {y2:g}"
    return (
        f'<path d="{path}" stroke="{INK}" stroke-width="7" fill="none" stroke-linecap="round" marker-end="url(#tip)"/>'
    )


def head(at: Point, colour: str = SKIN, turn: float = 0) -> str:
    x, y = at
    hair = INK if colour == SKIN else colour
    cap = f'<path d="M{x - 29:g} {y - 4:g} a29 29 0 0 1 58 0 q-29 -15 -58 0z" fill="{hair}" transform="rotate({turn:g} {x:g} {y:g})"/>'
    return f'<circle cx="{x:g}" cy="{y:g}" r="29" fill="{colour}"/>' + cap


def chair_front() -> str:
    return (
        f'<rect x="128" y="92" width="144" height="150" rx="16" fill="{CHAIR}" opacity=".55"/>'
        f'<rect x="112" y="244" width="176" height="26" rx="13" fill="{CHAIR}"/>'
        + limb((128, 268), (122, 352), width=12, colour=CHAIR)
        + limb((272, 268), (278, 352), width=12, colour=CHAIR)
    )


def chair_side(x: float = 130) -> str:
    return (
        limb((x - 30, 112), (x - 22, 254), width=16, colour=CHAIR)
        + limb((x - 24, 262), (x + 86, 262), width=22, colour=CHAIR)
        + limb((x - 20, 266), (x - 26, 354), width=12, colour=CHAIR)
        + limb((x + 78, 266), (x + 84, 354), width=12, colour=CHAIR)
    )


def support(x: float = 66) -> str:
    """The chair a standing person holds, seen from the side, its back towards the person."""
    return (
        limb((x, 168), (x, 354), width=12, colour=CHAIR)
        + limb((x - 12, 168), (x + 4, 168), width=14, colour=CHAIR)
        + limb((x - 46, 264), (x, 264), width=16, colour=CHAIR)
        + limb((x - 44, 264), (x - 44, 354), width=12, colour=CHAIR)
    )


def mat() -> str:
    return f'<rect x="22" y="334" width="356" height="18" rx="9" fill="{MAT}"/>'


def _tones(work: tuple[str, ...], colours: bool) -> Callable[[str, str], str]:
    """The colour of a part: the accent when it works, its own otherwise; one pale colour for a ghost."""
    return lambda part, own: GHOST if not colours else WORK if part in work else own


def front(pose: Pose, *, work: tuple[str, ...] = (), colours: bool = True) -> str:
    """The person from the front. `work`: thigh_l, thigh_r, shin_l, shin_r, trunk."""
    tone = _tones(work, colours)
    out = ""
    for side in ("l", "r"):
        hip, knee, ankle = (pose[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
        out += limb(knee, ankle, width=27, colour=tone(f"shin_{side}", LEGS))
        out += limb(hip, knee, width=35, colour=tone(f"thigh_{side}", LEGS))
        x, y = ankle
        lift = pose.get(f"{side}_heel", (0, 0))[1]
        out += limb((x - 9, y + 12 - lift), (x + 9, y + 12 - lift), width=20, colour=tone("foot", INK))
    corners = [pose[name] for name in ("l_shoulder", "r_shoulder", "r_hip", "l_hip")]
    shirt = tone("trunk", SHIRT)
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in corners) + " Z"
    out += f'<path d="{path}" fill="{shirt}" stroke="{shirt}" stroke-width="34" stroke-linejoin="round"/>'
    x, y = pose["head"]
    (lx, ly), (rx, ry) = pose["l_shoulder"], pose["r_shoulder"]
    out += limb((x, y + 16), ((lx + rx) / 2, (ly + ry) / 2 - 8), width=22, colour=tone("neck", SKIN))
    for side in ("l", "r"):
        if f"{side}_hand" in pose:
            shoulder, elbow, hand = (pose[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "hand"))
            out += limb(shoulder, elbow, width=24, colour=tone("arm", SHIRT)) + limb(
                elbow, hand, width=19, colour=tone("hand", SKIN)
            )
    return out + head(pose["head"], SKIN if colours else GHOST)


def side(pose: Pose, *, work: tuple[str, ...] = (), colours: bool = True, turn: float = 0) -> str:
    """The person from the side, looking right. `work`: thigh, shin, seat, trunk (near leg), far."""
    tone = _tones(work, colours)
    out = ""
    if "f_knee" in pose:
        out += _leg(pose, "f", tone("far", FAR), tone("far", FAR), tone("foot", INK))
    shoulder, hip = pose["shoulder"], pose["hip"]
    if "f_hand" in pose:
        out += limb(shoulder, pose["f_elbow"], pose["f_hand"], width=19, colour=tone("arm", SKIN))
    out += limb(hip, shoulder, width=50, colour=tone("trunk", SHIRT))
    out += _leg(pose, "n", tone("thigh", LEGS), tone("shin", LEGS), tone("foot", INK))
    if "seat" in work and colours:
        x, y = hip
        out += f'<circle cx="{x:g}" cy="{y:g}" r="21" fill="{WORK}"/>'
    out += limb(shoulder, pose["head"], width=20, colour=tone("neck", SKIN))
    out += limb(hip, shoulder, width=40, colour=tone("trunk", SHIRT))
    out += head(pose["head"], SKIN if colours else GHOST, turn)
    if "hand" in pose:
        out += limb(shoulder, pose["elbow"], width=23, colour=tone("arm", "#3a8d94")) + limb(
            pose["elbow"], pose["hand"], width=18, colour=tone("hand", SKIN)
        )
    return out


def _leg(pose: Pose, which: str, thigh: str, shin: str, foot: str) -> str:
    knee, ankle, toe = (pose[f"{which}_{joint}"] for joint in ("knee", "ankle", "toe"))
    return (
        limb(knee, ankle, width=27, colour=shin)
        + limb(pose["hip"], knee, width=35, colour=thigh)
        + limb(ankle, toe, width=19, colour=foot)
    )


def page(*parts: str, title: str) -> str:
    marker = f'<marker id="tip" viewBox="0 0 10 10" refX="6" refY="5" markerWidth="4" markerHeight="4" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" role="img" aria-label="{title}"><title>{title}</title>'
        f'<defs>{marker}</defs><rect width="400" height="400" rx="24" fill="{PAPER}"/>'
        f'<ellipse cx="200" cy="372" rx="160" ry="13" fill="{FLOOR}"/>' + "".join(parts) + "</svg>\n"
    )


SIT: Pose = {
    "head": (200, 64),
    "l_shoulder": (168, 128),
    "r_shoulder": (232, 128),
    "l_hip": (178, 234),
    "r_hip": (222, 234),
    "l_knee": (172, 284),
    "r_knee": (228, 284),
    "l_ankle": (172, 348),
    "r_ankle": (228, 348),
    "l_elbow": (140, 186),
    "r_elbow": (260, 186),
    "l_hand": (156, 238),
    "r_hand": (244, 238),
}
TOGETHER = SIT | {"l_knee": (182, 284), "r_knee": (218, 284), "l_ankle": (182, 350), "r_ankle": (218, 350)}
WIDE = SIT | {"l_knee": (112, 278), "r_knee": (288, 278), "l_ankle": (106, 348), "r_ankle": (294, 348)}
STAND: Pose = {
    "head": (206, 62),
    "l_shoulder": (176, 126),
    "r_shoulder": (238, 126),
    "l_hip": (184, 220),
    "r_hip": (230, 220),
    "l_knee": (182, 284),
    "r_knee": (232, 284),
    "l_ankle": (180, 348),
    "r_ankle": (234, 348),
    "l_elbow": (124, 158),
    "l_hand": (72, 168),
    "r_elbow": (262, 178),
    "r_hand": (258, 226),
}
SIT_SIDE: Pose = {
    "head": (164, 78),
    "shoulder": (160, 142),
    "hip": (158, 242),
    "n_knee": (238, 252),
    "n_ankle": (236, 340),
    "n_toe": (266, 350),
    "f_knee": (246, 252),
    "f_ankle": (250, 340),
    "f_toe": (280, 350),
    "elbow": (178, 196),
    "hand": (218, 226),
}
STAND_SIDE: Pose = {
    "head": (196, 62),
    "shoulder": (192, 128),
    "hip": (190, 220),
    "n_knee": (194, 284),
    "n_ankle": (190, 342),
    "n_toe": (218, 352),
    "f_knee": (200, 284),
    "f_ankle": (200, 342),
    "f_toe": (228, 352),
    "elbow": (232, 172),
    "hand": (286, 176),
}
LIE: Pose = {
    "head": (66, 300),
    "shoulder": (122, 308),
    "hip": (212, 312),
    "n_knee": (284, 312),
    "n_ankle": (350, 312),
    "n_toe": (354, 286),
    "f_knee": (284, 308),
    "f_ankle": (350, 308),
    "f_toe": (354, 282),
    "elbow": (150, 326),
    "hand": (190, 330),
}
HOOK = LIE | {
    "n_knee": (262, 240),
    "n_ankle": (302, 316),
    "n_toe": (330, 322),
    "f_knee": (270, 240),
    "f_ankle": (312, 316),
    "f_toe": (340, 322),
}
# Seen from above, on the mat: for moves where the knees go out to the sides.
ABOVE: Pose = {
    "head": (200, 58),
    "l_shoulder": (170, 116),
    "r_shoulder": (230, 116),
    "l_hip": (180, 214),
    "r_hip": (220, 214),
    "l_knee": (178, 268),
    "r_knee": (222, 268),
    "l_ankle": (186, 330),
    "r_ankle": (214, 330),
    "l_elbow": (130, 158),
    "r_elbow": (270, 158),
    "l_hand": (118, 206),
    "r_hand": (282, 206),
}


def from_above(*parts: str) -> tuple[str, ...]:
    return (f'<rect x="76" y="16" width="248" height="368" rx="22" fill="{MAT}"/>', *parts)


def legs_only(pose: Pose) -> str:
    """The ghost of the legs, where the trunk does not move."""
    return "".join(
        limb(pose[f"{s}_hip"], pose[f"{s}_knee"], width=33, colour=GHOST)
        + limb(pose[f"{s}_knee"], pose[f"{s}_ankle"], width=26, colour=GHOST)
        for s in ("l", "r")
    )


def side_leg(pose: Pose, which: str = "n") -> str:
    return _leg(pose, which, GHOST, GHOST, GHOST)


def seated_lean() -> tuple[str, ...]:
    lean = SIT_SIDE | {
        "head": (282, 112),
        "shoulder": (238, 158),
        "elbow": (262, 214),
        "hand": (250, 264),
        "n_knee": (230, 282),
        "n_ankle": (226, 346),
        "n_toe": (252, 356),
        "f_knee": (258, 258),
        "f_ankle": (268, 336),
        "f_toe": (296, 344),
    }
    ghost = limb(SIT_SIDE["hip"], SIT_SIDE["shoulder"], width=46, colour=GHOST) + head(SIT_SIDE["head"], GHOST)
    return chair_side(), ghost, side(lean, work=("thigh",), turn=35), arrow((198, 62), (252, 74), 25)


def standing_side_lunge() -> tuple[str, ...]:
    lunge = STAND | {
        "head": (150, 78),
        "l_shoulder": (122, 142),
        "r_shoulder": (184, 142),
        "l_hip": (136, 234),
        "r_hip": (180, 234),
        "l_knee": (108, 290),
        "l_ankle": (122, 350),
        "r_knee": (248, 290),
        "r_ankle": (316, 350),
        "l_elbow": (92, 168),
        "l_hand": (62, 168),
        "r_elbow": (206, 190),
        "r_hand": (192, 232),
    }
    stretch = limb((190, 248), (248, 298), width=14, colour=WORK)
    return support(50), front(lunge), stretch, arrow((268, 140), (214, 134), 20)


def lying_butterfly() -> tuple[str, ...]:
    up = ABOVE | {"l_knee": (176, 262), "r_knee": (224, 262), "l_ankle": (188, 318), "r_ankle": (212, 318)}
    out = ABOVE | {"l_knee": (112, 268), "r_knee": (288, 268), "l_ankle": (182, 318), "r_ankle": (218, 318)}
    return from_above(
        legs_only(up),
        front(out, work=("thigh_l", "thigh_r")),
        arrow((160, 232), (104, 234), 25),
        arrow((240, 232), (296, 234), -25),
    )


def seated_turn() -> tuple[str, ...]:
    turn = WIDE | {
        "head": (176, 70),
        "l_shoulder": (146, 132),
        "r_shoulder": (204, 136),
        "l_elbow": (112, 190),
        "l_hand": (112, 246),
        "r_elbow": (252, 196),
        "r_hand": (282, 252),
    }
    return (
        chair_front(),
        front(turn, work=("thigh_r",)),
        arrow((254, 92), (222, 40), -30),
        arrow((310, 262), (356, 258)),
    )


def standing_wide_lean() -> tuple[str, ...]:
    lean: Pose = {
        "head": (262, 152),
        "shoulder": (216, 176),
        "hip": (132, 202),
        "n_knee": (112, 278),
        "n_ankle": (92, 346),
        "n_toe": (120, 354),
        "f_knee": (160, 274),
        "f_ankle": (180, 336),
        "f_toe": (208, 344),
        "elbow": (268, 200),
        "hand": (318, 184),
    }
    back = (
        limb((322, 178), (322, 354), width=12, colour=CHAIR)
        + limb((322, 264), (372, 264), width=16, colour=CHAIR)
        + limb((370, 264), (370, 354), width=12, colour=CHAIR)
    )
    ghost = limb((132, 202), (136, 116), width=46, colour=GHOST) + head((140, 66), GHOST)
    return back, ghost, side(lean, work=("thigh",), turn=50), arrow((186, 66), (244, 104), 25)


def lying_one_leg() -> tuple[str, ...]:
    up = ABOVE | {"l_knee": (176, 262), "r_knee": (224, 262), "l_ankle": (180, 318), "r_ankle": (220, 318)}
    out = up | {"r_knee": (296, 260), "r_ankle": (234, 318)}
    return from_above(legs_only(up), front(out, work=("thigh_r",)), arrow((250, 228), (306, 226), -25))


def seated_clamshell() -> tuple[str, ...]:
    wide = TOGETHER | {"l_knee": (112, 276), "r_knee": (288, 276), "l_ankle": (152, 346), "r_ankle": (248, 346)}
    ghost = legs_only(TOGETHER)
    return (
        chair_front(),
        ghost,
        front(wide, work=("thigh_l", "thigh_r")),
        arrow((166, 310), (94, 304), -40),
        arrow((234, 310), (306, 304), 40),
    )


def standing_side_lift() -> tuple[str, ...]:
    lift = STAND | {"r_knee": (272, 270), "r_ankle": (318, 318)}
    return support(), legs_only(STAND), front(lift, work=("thigh_r",)), arrow((276, 206), (336, 250), -20)


def lying_clamshell() -> tuple[str, ...]:
    side_lying = LIE | {
        "n_knee": (290, 322),
        "n_ankle": (232, 340),
        "n_toe": (206, 344),
        "f_knee": (290, 322),
        "f_ankle": (232, 340),
        "f_toe": (206, 344),
        "elbow": (150, 330),
        "hand": (104, 332),
    }
    top = side_lying | {"n_knee": (284, 250), "n_ankle": (236, 328), "n_toe": (210, 334)}
    return (
        mat(),
        side(side_lying, colours=False, turn=-70),
        side(top, work=("thigh", "seat"), turn=-70),
        arrow((330, 306), (318, 234), 25),
    )


def seated_side_tap() -> tuple[str, ...]:
    tap = SIT | {"r_knee": (282, 274), "r_ankle": (316, 344)}
    return chair_front(), legs_only(SIT), front(tap, work=("thigh_r",)), arrow((292, 226), (344, 270), -20)


def standing_side_step() -> tuple[str, ...]:
    step = STAND | {"r_knee": (262, 284), "r_ankle": (292, 348)}
    return support(), legs_only(STAND), front(step, work=("thigh_l", "thigh_r")), arrow((300, 250), (356, 250))


def lying_bridge() -> tuple[str, ...]:
    up = HOOK | {"shoulder": (116, 312), "hip": (206, 256), "n_knee": (270, 236), "f_knee": (278, 236)}
    return mat(), side(HOOK, colours=False, turn=-90), side(up, work=("seat",), turn=-90), arrow((206, 214), (206, 162))


def seated_march() -> tuple[str, ...]:
    lift = SIT_SIDE | {"n_knee": (242, 204), "n_ankle": (240, 290), "n_toe": (268, 300)}
    return chair_side(), side_leg(SIT_SIDE), side(lift, work=("thigh",)), arrow((300, 236), (300, 178))


def standing_march() -> tuple[str, ...]:
    lift = STAND_SIDE | {"n_knee": (252, 232), "n_ankle": (246, 306), "n_toe": (272, 318)}
    back = (
        limb((292, 172), (292, 354), width=12, colour=CHAIR)
        + limb((292, 264), (342, 264), width=16, colour=CHAIR)
        + limb((340, 264), (340, 354), width=12, colour=CHAIR)
    )
    return back, side_leg(STAND_SIDE), side(lift, work=("thigh",)), arrow((150, 300), (150, 232))


def lying_heel_slide() -> tuple[str, ...]:
    slide = LIE | {"n_knee": (262, 240), "n_ankle": (304, 314), "n_toe": (332, 318)}
    return mat(), side_leg(LIE), side(slide, work=("thigh",), turn=-90), arrow((364, 250), (312, 236), -20)


def seated_heel_raise() -> tuple[str, ...]:
    raised = SIT_SIDE | {
        "n_knee": (238, 242),
        "n_ankle": (240, 326),
        "n_toe": (264, 352),
        "f_knee": (246, 242),
        "f_ankle": (254, 326),
        "f_toe": (278, 352),
    }
    return chair_side(), side_leg(SIT_SIDE), side(raised, work=("shin",)), arrow((206, 348), (206, 296))


def standing_heel_raise() -> tuple[str, ...]:
    up = {name: (x, y - 20) if "toe" not in name else (x - 6, y) for name, (x, y) in STAND_SIDE.items()}
    back = (
        limb((292, 160), (292, 354), width=12, colour=CHAIR)
        + limb((292, 264), (342, 264), width=16, colour=CHAIR)
        + limb((340, 264), (340, 354), width=12, colour=CHAIR)
    )
    return back, side(up, work=("shin",)), arrow((150, 346), (150, 286))


def lying_ankle_pump() -> tuple[str, ...]:
    point = LIE | {"n_toe": (378, 312), "f_toe": (378, 308)}
    return mat(), side_leg(point), side(LIE, work=("shin",), turn=-90), arrow((384, 286), (352, 254), 25)


def seated_press() -> tuple[str, ...]:
    lean = SIT_SIDE | {"head": (248, 104), "shoulder": (216, 156), "elbow": (232, 212), "hand": (250, 246)}
    ghost = limb(SIT_SIDE["hip"], SIT_SIDE["shoulder"], width=46, colour=GHOST) + head(SIT_SIDE["head"], GHOST)
    return (
        chair_side(),
        ghost,
        side(lean, work=("thigh",), turn=30),
        arrow((206, 52), (250, 60), 20),
        arrow((310, 280), (310, 340)),
    )


def standing_sit_to_stand() -> tuple[str, ...]:
    up = STAND_SIDE | {
        "head": (250, 56),
        "shoulder": (246, 122),
        "hip": (238, 214),
        "n_knee": (246, 280),
        "n_ankle": (240, 342),
        "n_toe": (270, 352),
        "f_knee": (252, 280),
        "f_ankle": (252, 342),
        "f_toe": (282, 352),
        "elbow": (264, 172),
        "hand": (268, 218),
    }
    lean = SIT_SIDE | {"head": (206, 108), "shoulder": (186, 160)}
    return (
        chair_side(110),
        side(lean | {"elbow": (200, 200), "hand": (232, 230)}, colours=False, turn=20),
        side(up, work=("thigh",)),
        arrow((330, 250), (330, 130)),
    )


def lying_leg_lift() -> tuple[str, ...]:
    low = LIE | {
        "n_knee": (284, 318),
        "n_ankle": (350, 322),
        "n_toe": (364, 304),
        "f_knee": (284, 322),
        "f_ankle": (350, 326),
        "f_toe": (366, 308),
        "hand": (104, 332),
        "elbow": (150, 330),
    }
    lift = low | {"n_knee": (276, 268), "n_ankle": (336, 222), "n_toe": (352, 204)}
    return mat(), side_leg(low), side(lift, work=("thigh", "seat"), turn=-70), arrow((372, 290), (366, 214), 20)


def seated_trunk_turn() -> tuple[str, ...]:
    turned = SIT | {
        "head": (212, 64),
        "l_shoulder": (182, 126),
        "r_shoulder": (234, 134),
        "l_elbow": (166, 178),
        "l_hand": (226, 172),
        "r_elbow": (244, 182),
        "r_hand": (192, 190),
    }
    return chair_front(), front(turned, work=("trunk",)), arrow((276, 116), (340, 132), -20)


def seated_reach() -> tuple[str, ...]:
    base = SIT | {"l_knee": (146, 282), "r_knee": (254, 282), "l_ankle": (142, 348), "r_ankle": (258, 348)}
    reach = base | {
        "head": (232, 72),
        "l_shoulder": (190, 128),
        "r_shoulder": (252, 142),
        "r_elbow": (304, 150),
        "r_hand": (356, 152),
        "l_elbow": (152, 182),
        "l_hand": (140, 236),
    }
    return chair_front(), front(base, colours=False), front(reach, work=("trunk",)), arrow((292, 96), (348, 108), -20)


def standing_weight_shift() -> tuple[str, ...]:
    base = STAND | {"r_knee": (240, 284), "r_ankle": (252, 348)}
    shift = {
        name: (x + 26, y)
        if not name.endswith(("ankle", "hand", "knee"))
        else (x + (12 if name.endswith("knee") else 0), y)
        for name, (x, y) in base.items()
    }
    shift["r_hand"] = (290, 226)
    return support(), front(base, colours=False), front(shift, work=("thigh_r",)), arrow((290, 84), (350, 84))


def lying_knee_sway() -> tuple[str, ...]:
    up = ABOVE | {"l_knee": (178, 262), "r_knee": (222, 262), "l_ankle": (180, 318), "r_ankle": (220, 318)}
    sway = up | {"l_knee": (232, 262), "r_knee": (286, 258), "l_ankle": (198, 320), "r_ankle": (240, 322)}
    return from_above(legs_only(up), front(sway, work=("trunk",)), arrow((250, 348), (312, 336), 20))


FIGURES = {
    name.__name__.replace("_", "-"): name
    for name in (
        seated_lean,
        standing_side_lunge,
        lying_butterfly,
        seated_turn,
        standing_wide_lean,
        lying_one_leg,
        seated_clamshell,
        standing_side_lift,
        lying_clamshell,
        seated_side_tap,
        standing_side_step,
        lying_bridge,
        seated_march,
        standing_march,
        lying_heel_slide,
        seated_heel_raise,
        standing_heel_raise,
        lying_ankle_pump,
        seated_press,
        standing_sit_to_stand,
        lying_leg_lift,
        seated_trunk_turn,
        seated_reach,
        standing_weight_shift,
        lying_knee_sway,
    )
}


def drawings() -> dict[str, str]:
    """Every picture's SVG by name; the title is the alt text of the move that shows it."""
    from challenge.programme.definition import alt_texts

    titles = alt_texts(Path(__file__).parent / "challenge.toml")
    return {name: page(*figure(), title=titles[f"{name}.png"]) for name, figure in FIGURES.items()}


def main() -> None:
    import resvg_py
    from PIL import Image

    PICTURES.mkdir(exist_ok=True)
    for name, svg in drawings().items():
        (PICTURES / f"{name}.svg").write_text(svg)
        image = Image.open(BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=WIDTH))))
        paper = Image.new("RGB", image.size, PAPER)  # a corner left clear would turn black
        paper.paste(image, mask=image.getchannel("A"))
        paper.quantize(64).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
