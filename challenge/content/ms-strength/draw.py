"""Draws every move of the challenge. Run it after changing a pose: it writes `pictures/*.svg` and `pictures/*.png`.

One rig keeps the person the same from day 1 to day 5: bones have fixed lengths, a pose is a handful of angles. The start
is a pale ghost, the muscles that work wear the accent colour, arrows show the way, and whoever stands has a steady chair.

Needs the packages of the `dev` group. The canvas is 400 x 400 and y points down. An angle of 0 points down, 90 to the
right, 180 up; from the front, limbs are mirrored, so that 90 points outward on both sides.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from io import BytesIO
from math import acos, atan2, cos, degrees, dist, radians, sin
from pathlib import Path

from challenge.programme.definition import alt_texts

HERE = Path(__file__).parent
PNG_WIDTH, PNG_COLOURS = 560, 48
INK, SKIN, SHADE, SHIRT, SLEEVE = "#12343b", "#c98f6b", "#b57b58", "#2f7f86", "#3d8f95"
LEGS, FAR, WORK, GHOST = "#3d5a66", "#5b7682", "#e07a3f", "#d9d2c5"
CHAIR, BACKREST, FLOOR, PAPER, MAT, LINE = "#b9a98f", "#d5cbb9", "#e9e2d5", "#fbf8f3", "#cfe0dc", "#b9c9c5"
GROUND = 362.0
TRUNK, NECK, HEAD, THIGH, SHIN, UPPER, FORE = 92.0, 45.0, 26.0, 80.0, 76.0, 54.0, 50.0
STAND_Y, SIT_Y = GROUND - 19 - THIGH - SHIN, GROUND - 19 - SHIN

Point = tuple[float, float]


# --- ink ----------------------------------------------------------------------------------------------------------


def along(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * sin(radians(angle)), start[1] + length * cos(radians(angle))


def number(value: float) -> str:
    return f"{round(value, 1) + 0:g}"


def line(*points: Point, width: float, colour: str) -> str:
    path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f'<path d="{path}" stroke="{colour}" stroke-width="{number(width)}"/>'


def dot(at: Point, radius: float, colour: str) -> str:
    return f'<circle cx="{number(at[0])}" cy="{number(at[1])}" r="{number(radius)}" fill="{colour}" stroke="none"/>'


def moved(inner: str, *, to: Point = (0, 0), turn: float = 0, scale: float = 1) -> str:
    """`inner`, drawn around its own origin, put in place."""
    steps = f"translate({number(to[0])} {number(to[1])})"
    steps += f" rotate({number(turn)})" if turn else ""
    steps += f" scale({number(scale) if scale in (1, -1) else f'{scale:.3g}'})" if scale != 1 else ""
    return f'<g transform="{steps}">{inner}</g>'


def arrow(start: Point, end: Point, bend: float = 0) -> str:
    """An arrow with a pale rim, so that it stays clear on top of the person. `bend` is in hundredths of its length."""
    (x1, y1), (x2, y2) = start, end
    cx, cy = (x1 + x2) / 2 + bend * (y2 - y1) / 100, (y1 + y2) / 2 - bend * (x2 - x1) / 100
    path = " ".join(map(number, (x1, y1))) + "Q" + " ".join(map(number, (cx, cy, x2, y2)))
    return (
        f'<path d="M{path}" stroke="{PAPER}" stroke-width="13"/>'
        f'<path d="M{path}" stroke="{INK}" stroke-width="6" marker-end="url(#tip)"/>'
    )


def bend_angle(way: float, near: float, far: float) -> float:
    """Degrees between the way to the end and the nearer of two bones that get there; 0 when it is out of reach."""
    return degrees(acos(max(-1.0, min(1.0, (near**2 + way**2 - far**2) / (2 * near * way)))))


def angle_to(start: Point, end: Point) -> float:
    return degrees(atan2(end[0] - start[0], end[1] - start[1]))


# --- the person from the side -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leg:
    """`foot` is where the toes point. Lengths below the real ones show a bone that points at the viewer."""

    thigh: float
    shin: float
    foot: float = 90
    thigh_length: float = THIGH
    shin_length: float = SHIN


@dataclass(frozen=True)
class Arm:
    """Where the hand is; the elbow follows, to the right of the way there (1) or to the left (-1)."""

    hand: Point
    bend: int = 1


@dataclass(frozen=True)
class Side:
    """A person who looks right. `work`: thigh, inner, calf, shin, seat."""

    hip: Point
    trunk: float
    near: Leg
    far: Leg
    arm: Arm | None = None
    far_arm: Arm | None = None
    nod: float = 0
    work: tuple[str, ...] = ()

    @property
    def shoulder(self) -> Point:
        return along(self.hip, self.trunk, TRUNK)

    def draw(self) -> str:
        far_arm = draw_arm(self.shoulder, self.far_arm, SHIRT, SHADE) if self.far_arm else ""
        arm = draw_arm(self.shoulder, self.arm, SLEEVE, SKIN) if self.arm else ""
        far_leg = side_leg(self.hip, self.far, FAR, FAR, INK) + self._accent("inner", self.far)
        near_leg = side_leg(self.hip, self.near, LEGS, LEGS, INK)
        worked = "".join(self._accent(part, self.near) for part in ("thigh", "calf", "shin"))
        return far_arm + far_leg + self._body() + near_leg + worked + self._trunk_work() + arm

    def _body(self) -> str:
        neck = along(self.shoulder, self.trunk + self.nod, NECK)
        chest = along(self.hip, self.trunk, TRUNK - 6)
        return (
            line(self.shoulder, neck, width=20, colour=SHADE)
            + line(self.hip, chest, width=46, colour=SHIRT)
            + moved(face_side(), to=neck, turn=180 - self.trunk - self.nod)
        )

    def _trunk_work(self) -> str:
        if "seat" not in self.work:
            return ""
        ends = ((up, self.trunk + 90, back) for up, back in ((20, 14), (-8, 11)))
        return line(
            *(along(along(self.hip, self.trunk, up), way, back) for up, way, back in ends), width=14, colour=WORK
        )

    def _accent(self, part: str, leg: Leg) -> str:
        if part not in self.work:
            return ""
        knee = along(self.hip, leg.thigh, leg.thigh_length)
        strips = {
            "thigh": (self.hip, leg.thigh, leg.thigh_length, 8.0),
            "inner": (self.hip, leg.thigh, leg.thigh_length, 0.0),
            "shin": (knee, leg.shin, leg.shin_length, 6.0),
            "calf": (knee, leg.shin, leg.shin_length, -7.0),
        }
        start, angle, length, across = strips[part]
        return strip(start, angle, length, across)

    def ghost(self, *, legs: bool = True, trunk: bool = True) -> str:
        neck = along(self.shoulder, self.trunk + self.nod, NECK)
        body = line(self.hip, self.shoulder, width=44, colour=GHOST) + dot(neck, HEAD, GHOST) if trunk else ""
        both = side_leg(self.hip, self.far, GHOST, GHOST, GHOST) + side_leg(self.hip, self.near, GHOST, GHOST, GHOST)
        return body + (both if legs else "")


def strip(start: Point, angle: float, length: float, across: float, width: float = 13) -> str:
    """A muscle that works: along a bone, `across` to its front (or outer) edge."""
    ends = (along(along(start, angle, part * length), angle + 90, across) for part in (0.2, 0.86))
    return line(*ends, width=width, colour=WORK)


def side_leg(hip: Point, leg: Leg, thigh: str, shin: str, shoe: str) -> str:
    knee = along(hip, leg.thigh, leg.thigh_length)
    ankle = along(knee, leg.shin, leg.shin_length)
    sole = along(ankle, leg.foot - 90, 10)
    foot = line(along(sole, leg.foot, -7), along(sole, leg.foot, 24), width=18, colour=shoe)
    return foot + line(knee, ankle, width=26, colour=shin) + line(hip, knee, width=34, colour=thigh)


def planted(
    hip: Point, ankle: Point, *, knee: int = 1, foot: float = 90, thigh: float = THIGH, shin: float = SHIN
) -> Leg:
    """The leg whose foot stays where it is, knee to the right (1) or to the left (-1)."""
    bent = angle_to(hip, ankle) + knee * bend_angle(dist(hip, ankle), thigh, shin)
    return Leg(bent, angle_to(along(hip, bent, thigh), ankle), foot, thigh, shin)


def bones(hip: Point, knee: Point, ankle: Point) -> Leg:
    """The leg through three points, for bones that point partly at the viewer."""
    return Leg(angle_to(hip, knee), angle_to(knee, ankle), 90, dist(hip, knee), dist(knee, ankle))


def mirrored(leg: Leg) -> Leg:
    """A left leg that was found in canvas angles, as the front view counts them."""
    return replace(leg, thigh=-leg.thigh, shin=-leg.shin)


def draw_arm(shoulder: Point, arm: Arm, sleeve: str, skin: str) -> str:
    bent = angle_to(shoulder, arm.hand) + arm.bend * bend_angle(dist(shoulder, arm.hand), UPPER, FORE)
    elbow = along(shoulder, bent, UPPER)
    return (
        line(shoulder, elbow, arm.hand, width=17, colour=skin)
        + dot(arm.hand, 10.5, skin)
        + line(shoulder, along(shoulder, bent, UPPER * 0.72), width=23, colour=sleeve)
    )


def face_side() -> str:
    """A head that looks right, around its own middle."""
    hair = f'<path d="M20 -17A26 26 0 1 0 -15 21Q-6 8 -3 -5Q10 -7 20 -17Z" fill="{INK}" stroke="none"/>'
    mouth = f'<path d="M14 12Q18 13 21 10" stroke="{INK}" stroke-width="2.5"/>'
    return (
        dot((24, 3), 6, SKIN)
        + dot((0, 0), HEAD, SKIN)
        + hair
        + dot((-3, 3), 5, SHADE)
        + dot((14, -1), 2.8, INK)
        + mouth
    )


# --- the person from the front ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Front:
    """A person who looks at the viewer; `left` and `right` are the viewer's. `lean` tilts the trunk to the right,
    `turn` from -1 to 1 turns chest and face. `work`: inner_l, outer_l, and the same with r, and waist."""

    hip: Point
    left: Leg
    right: Leg
    left_arm: Arm
    right_arm: Arm
    lean: float = 0
    turn: float = 0
    trunk: float = TRUNK
    nod: float = 0
    work: tuple[str, ...] = ()

    def hip_of(self, way: int) -> Point:
        return self.hip[0] + way * 19, self.hip[1]

    def shoulder_of(self, way: int) -> Point:
        middle = along(self.hip, 180 - self.lean, self.trunk)
        middle = (middle[0] + 9 * self.turn, middle[1])
        return along(middle, 90 - self.lean, way * 33 * (1 - 0.28 * abs(self.turn)))

    @property
    def head(self) -> Point:
        (lx, ly), (rx, ry) = self.shoulder_of(-1), self.shoulder_of(1)
        return along(((lx + rx) / 2, (ly + ry) / 2), 180 - self.lean * 0.8, NECK + 4 - self.nod)

    def draw(self) -> str:
        legs = "".join(
            front_leg(self.hip_of(way), leg, way, LEGS, INK) + self._accents(way) for way, leg in self._legs()
        )
        arms = "".join(draw_arm(self.shoulder_of(way), arm, SLEEVE, SKIN) for way, arm in self._arms())
        return (
            legs
            + self._neck()
            + self._shirt(SHIRT)
            + self._waist()
            + arms
            + moved(face_front(self.turn), to=self.head, turn=self.lean * 0.8)
        )

    def ghost(self, *, legs: bool = True, trunk: bool = True) -> str:
        both = "".join(front_leg(self.hip_of(way), leg, way, GHOST, GHOST) for way, leg in self._legs()) if legs else ""
        return both + (self._shirt(GHOST) + dot(self.head, HEAD, GHOST) if trunk else "")

    def _legs(self) -> tuple[tuple[int, Leg], tuple[int, Leg]]:
        return (-1, self.left), (1, self.right)

    def _arms(self) -> tuple[tuple[int, Arm], tuple[int, Arm]]:
        return (-1, self.left_arm), (1, self.right_arm)

    def _neck(self) -> str:
        (lx, ly), (rx, ry) = self.shoulder_of(-1), self.shoulder_of(1)
        return line(self.head, ((lx + rx) / 2, (ly + ry) / 2 - 6), width=20, colour=SHADE)

    def _shirt(self, colour: str) -> str:
        corners = self.shoulder_of(-1), self.shoulder_of(1), self.hip_of(1), self.hip_of(-1)
        path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in corners) + "Z"
        return f'<path d="{path}" fill="{colour}" stroke="{colour}" stroke-width="30"/>'

    def _waist(self) -> str:
        if "waist" not in self.work:
            return ""
        ends = ((self.hip_of(way), self.shoulder_of(way), way) for way in (-1, 1))
        return "".join(
            line(*(mix(low, high, at, way * 7) for at in (0.18, 0.52)), width=13, colour=WORK)
            for low, high, way in ends
        )

    def _accents(self, way: int) -> str:
        leg = self.left if way < 0 else self.right
        letter = "l" if way < 0 else "r"
        edges = {"inner": -9.0, "outer": 9.0}
        return "".join(
            strip(self.hip_of(way), way * leg.thigh, leg.thigh_length, way * across)
            for part, across in edges.items()
            if f"{part}_{letter}" in self.work
        )


def mix(low: Point, high: Point, at: float, across: float) -> Point:
    return low[0] + (high[0] - low[0]) * at + across, low[1] + (high[1] - low[1]) * at


def front_leg(hip: Point, leg: Leg, way: int, cloth: str, shoe: str) -> str:
    knee = along(hip, way * leg.thigh, leg.thigh_length)
    ankle = along(knee, way * leg.shin, leg.shin_length)
    x, y = along(ankle, way * leg.shin, 10)
    foot = line((x - 6 + way * 3, y), (x + 6 + way * 3, y), width=20, colour=shoe)
    return foot + line(knee, ankle, width=26, colour=cloth) + line(hip, knee, width=34, colour=cloth)


def face_front(turn: float) -> str:
    """A head that looks at the viewer, around its own middle; `turn` moves the face to a side."""
    x = 11 * turn
    hair = f'<path d="M-26 -3A26 26 0 0 1 26 -3Q{number(14 + x)} -17 {number(x)} -17Q{number(-14 + x)} -17 -26 -3Z" fill="{INK}" stroke="none"/>'
    mouth = f'<path d="M{number(x - 7)} 11Q{number(x)} 16 {number(x + 7)} 11" stroke="{INK}" stroke-width="2.5"/>'
    return dot((0, 0), HEAD, SKIN) + hair + dot((x - 9, 0), 2.8, INK) + dot((x + 9, 0), 2.8, INK) + mouth


# --- the room -----------------------------------------------------------------------------------------------------


def chair_front(x: float = 200) -> str:
    legs = "".join(line((x + way * 60, 296), (x + way * 64, 356), width=12, colour=CHAIR) for way in (-1, 1))
    back = f'<rect x="{number(x - 62)}" y="172" width="124" height="112" rx="16" fill="{BACKREST}" stroke="none"/>'
    return back + legs + line((x - 64, 294), (x + 64, 294), width=20, colour=CHAIR)


def chair_side(x: float) -> str:
    """A chair that looks right, for hips at `x`."""
    return (
        line((x - 42, 164), (x - 34, 290), width=13, colour=CHAIR)
        + line((x - 34, 297), (x - 38, 356), width=11, colour=CHAIR)
        + line((x + 46, 297), (x + 50, 356), width=11, colour=CHAIR)
        + line((x - 34, 296), (x + 48, 296), width=19, colour=CHAIR)
    )


def support(x: float, way: int = -1, top: float = 182, depth: float = 52) -> str:
    """The steady chair that a standing person holds: its back at `x`, its seat away from the person (`way`)."""
    return (
        line((x, top), (x, 356), width=11, colour=CHAIR)
        + line((x + way * (depth - 2), 276), (x + way * (depth - 2), 356), width=11, colour=CHAIR)
        + line((x, 274), (x + way * depth, 274), width=15, colour=CHAIR)
        + line((x, top), (x, top + 28), width=15, colour=CHAIR)
    )


def mat(y: float = GROUND - 8) -> str:
    return line((18, y), (382, y), width=16, colour=MAT)


def mat_above() -> str:
    pillow = f'<rect x="148" y="26" width="104" height="76" rx="20" fill="{PAPER}" stroke="{LINE}" stroke-width="3"/>'
    return f'<rect x="80" y="14" width="240" height="372" rx="22" fill="{MAT}" stroke="none"/>' + pillow


def inset(at: Point, radius: float, inner: str, middle: float, reach: float) -> str:
    """A second look at the same moment, in a ring: what lies within `reach` of (200, `middle`), made small."""
    small = moved(moved(inner, to=(-200, -middle)), to=at, scale=radius / reach)
    ring = f'<circle cx="{number(at[0])}" cy="{number(at[1])}" r="{number(radius)}"'
    return (
        f'<clipPath id="ring">{ring}/></clipPath>{ring} fill="#fff" stroke="none"/>'
        f'<g clip-path="url(#ring)">{small}</g>{ring} stroke="{LINE}" stroke-width="3"/>'
    )


def zoomed(inner: str, scale: float, about: Point = (200, GROUND)) -> str:
    x, y = about
    return moved(inner, to=(x - scale * x, y - scale * y), scale=scale)


def page(inner: str, title: str, *, floor: bool = True) -> str:
    said = escape(title)
    shadow = f'<ellipse cx="200" cy="{GROUND + 5:g}" rx="176" ry="14" fill="{FLOOR}" stroke="none"/>' if floor else ""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" role="img" '
        f'aria-label="{said}"><title>{said}</title><defs><marker id="tip" viewBox="0 0 10 10" refX="5" refY="5" '
        f'markerWidth="3.6" markerHeight="3.6" orient="auto"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>'
        f'<rect width="400" height="400" fill="{PAPER}"/>{shadow}'
        f'<g fill="none" stroke-linecap="round" stroke-linejoin="round">{inner}</g></svg>\n'
    )


# --- the poses that moves start from ------------------------------------------------------------------------------

FEET_Y = GROUND - 19
KNEE_DOWN = Leg(4, 0, thigh_length=32, shin_length=56)
SIT_FRONT = Front((200, SIT_Y), KNEE_DOWN, KNEE_DOWN, Arm((176, 262), -1), Arm((224, 262), 1))
KNEE_OUT = Leg(68, 4, thigh_length=72, shin_length=62)
WIDE = replace(SIT_FRONT, left=KNEE_OUT, right=KNEE_OUT, work=("inner_l", "inner_r"))
STAND_FRONT = Front((206, STAND_Y), Leg(2, 0), Leg(2, 0), Arm((110, 176), -1), Arm((252, 194), 1))
SIT_SIDE = Side((150, SIT_Y), 180, Leg(90, 0), Leg(93, -2), Arm((206, 246), -1))
STAND_SIDE = Side((176, STAND_Y), 180, Leg(0, 0), Leg(4, 1), Arm((242, 178), -1), Arm((242, 178), -1))
LIE_FLAT = Side((198, 322), 270, Leg(90, 90, 172), Leg(90, 90, 172), Arm((208, 332), 1))
LIE_BENT = replace(LIE_FLAT, near=planted(LIE_FLAT.hip, (288, 328)), far=planted(LIE_FLAT.hip, (296, 326)))
# Seen from above, lying on the back: knees that point at the ceiling look short.
KNEES_UP = Leg(3, 0, thigh_length=44, shin_length=52)
LIE_ABOVE = Front((200, 206), KNEES_UP, KNEES_UP, Arm((182, 186), -1), Arm((218, 186), 1))


def beside_chair(body: Front, ghost: str, *marks: str) -> str:
    return support(110) + ghost + body.draw() + "".join(marks)


def sitting(body: Front | Side, ghost: str, *marks: str) -> str:
    chair = chair_front() if isinstance(body, Front) else chair_side(SIT_SIDE.hip[0])
    return zoomed(chair + ghost + body.draw() + "".join(marks), 1.12)


def on_mat(body: Side, ghost: str, *marks: str) -> str:
    return moved(mat() + ghost + body.draw() + "".join(marks), to=(0, -80))


def from_above(body: Front, ghost: str, *marks: str) -> str:
    return mat_above() + ghost + body.draw() + "".join(marks)


def on_side(body: Front, ghost: str, *marks: str) -> str:
    """Lying on one side, face to the viewer: the person from the front, laid down with the head to the left."""
    ground = f'<rect x="12" y="296" width="376" height="62" rx="22" fill="{MAT}" stroke="none"/>'
    lying = moved(ghost + body.draw(), turn=-90, to=(188, 276))
    return moved(ground + lying + "".join(marks), to=(0, -50))


# --- the moves ----------------------------------------------------------------------------------------------------


def seated_lean() -> str:
    near, far = Leg(72, 0, shin_length=68), Leg(98, 4)
    lean = replace(SIT_SIDE, trunk=132, near=near, far=far, arm=Arm((222, 302), -1), nod=14)
    wide = chair_front() + WIDE.draw() + arrow((92, 292), (58, 292)) + arrow((308, 292), (342, 292))
    scene = chair_side(SIT_SIDE.hip[0]) + SIT_SIDE.ghost(legs=False) + lean.draw() + arrow((188, 98), (240, 116), 25)
    return moved(scene, to=(-36, 0)) + inset((306, 98), 84, wide, 240, 164)


def standing_side_lunge() -> str:
    hip = (176.0, STAND_Y + 34)
    left, right = planted((157, hip[1]), (112, FEET_Y), knee=-1), planted((195, hip[1]), (304, FEET_Y), knee=1)
    lunge = Front(hip, mirrored(left), right, Arm((54, 176), -1), Arm((206, 216), 1), lean=-5, work=("inner_r",))
    start = replace(STAND_FRONT, hip=(216, STAND_Y + 10))
    scene = support(50) + start.ghost(legs=False) + lunge.draw() + arrow((290, 140), (238, 148), 12)
    return moved(scene, to=(14, 0))


def lying_butterfly() -> str:
    out = Leg(64, -64, thigh_length=76, shin_length=72)
    open_ = replace(LIE_ABOVE, left=out, right=out, work=("inner_l", "inner_r"))
    ways = arrow((154, 196), (98, 208), -20), arrow((246, 196), (302, 208), 20)
    return from_above(open_, LIE_ABOVE.ghost(trunk=False), *ways)


def seated_turn() -> str:
    turn = replace(
        WIDE, turn=-1, lean=-5, left_arm=Arm((122, 262), -1), right_arm=Arm((262, 278), 1), work=("inner_r",)
    )
    return sitting(turn, "", arrow((222, 88), (142, 96), -30), arrow((304, 290), (346, 290)))


def standing_wide_lean() -> str:
    start = replace(STAND_SIDE, hip=(136, STAND_Y + 6), arm=None, far_arm=None)
    hip = (128.0, STAND_Y + 8)
    hold = Arm((304, 182), -1)
    lean = replace(start, hip=hip, trunk=112, arm=hold, far_arm=hold, nod=18, work=("inner",))
    lean = replace(lean, near=Leg(-6, -6), far=Leg(20, 20, shin_length=72))
    out = Leg(26, 24)
    wide = replace(STAND_FRONT, hip=(200, STAND_Y + 16), left=out, right=out, work=("inner_l", "inner_r"))
    wide = replace(wide, left_arm=Arm((154, 208), -1), right_arm=Arm((246, 208), 1))
    scene = support(306, 1) + start.ghost(legs=False) + lean.draw() + arrow((182, 64), (232, 100), 22)
    return scene + inset((330, 82), 66, wide.draw(), 200, 176)


def lying_one_leg() -> str:
    out = replace(LIE_ABOVE, right=Leg(66, -54, shin_length=64), work=("inner_r",))
    return from_above(out, LIE_ABOVE.ghost(trunk=False), arrow((246, 194), (306, 208), 20))


def seated_clamshell() -> str:
    close = replace(KNEE_DOWN, thigh=-6)
    out = Leg(62, -44, thigh_length=58, shin_length=74)
    wide = replace(SIT_FRONT, left=out, right=out, work=("outer_l", "outer_r"))
    start = replace(SIT_FRONT, left=close, right=close)
    return sitting(wide, start.ghost(trunk=False), arrow((106, 290), (66, 284)), arrow((294, 290), (334, 284)))


def standing_side_lift() -> str:
    lift = replace(STAND_FRONT, right=Leg(32, 32), work=("outer_r",))
    return beside_chair(lift, STAND_FRONT.ghost(trunk=False), arrow((292, 252), (338, 232)))


LYING_ON_SIDE = Front((0, 0), Leg(0, 0), Leg(0, 0), Arm((-26, -160), -1), Arm((-34, -46), 1))


def lying_clamshell() -> str:
    """Points are (-down, right) of the hips, for the person lies down only afterwards."""
    below = bones((-19, 0), (-50, 56), (-24, 112))
    start = replace(LYING_ON_SIDE, left=mirrored(below), right=bones((19, 0), (-28, 56), (-4, 112)))
    lift = replace(start, right=bones((19, 0), (72, 44), (2, 106)), work=("outer_r",))
    return on_side(lift, start.ghost(trunk=False), arrow((322, 252), (288, 196), 25))


def seated_side_tap() -> str:
    tap = replace(SIT_FRONT, right=Leg(56, 16, thigh_length=64, shin_length=62), work=("outer_r",))
    return sitting(tap, SIT_FRONT.ghost(trunk=False), arrow((296, 300), (342, 326), 20))


def standing_side_step() -> str:
    out = Leg(18, 15)
    step = replace(STAND_FRONT, hip=(224, STAND_Y + 5), left=out, right=out, work=("outer_r",))
    step = replace(step, right_arm=Arm((270, 200), 1), left_arm=Arm((116, 176), -1))
    return beside_chair(step, STAND_FRONT.ghost(), arrow((306, 306), (358, 306), 30))


def lying_leg_lift() -> str:
    start = replace(LYING_ON_SIDE, left=mirrored(bones((-19, 0), (-36, 74), (-14, 122))))
    lift = replace(start, right=Leg(28, 28), work=("outer_r",))
    return on_side(lift, start.ghost(trunk=False), arrow((372, 250), (372, 192), 12))


def seated_press() -> str:
    lean = replace(SIT_SIDE, trunk=146, arm=Arm((226, 248), -1), nod=6, work=("thigh", "seat"))
    return sitting(lean, SIT_SIDE.ghost(legs=False), arrow((180, 96), (232, 116), 25), arrow((288, 296), (288, 348)))


def standing_sit_to_stand() -> str:
    start = replace(SIT_SIDE, hip=(136, SIT_Y), trunk=148)
    hip = (200.0, STAND_Y + 3)
    near, far = planted(hip, (214, FEET_Y)), planted(hip, (220, FEET_Y))
    up = Side(hip, 178, near, far, Arm((222, 190), -1), work=("thigh", "seat"))
    return chair_side(136) + start.ghost() + up.draw() + arrow((284, 236), (284, 116))


def lying_bridge() -> str:
    hip = (194.0, 276.0)
    up = replace(LIE_BENT, hip=hip, trunk=300, arm=Arm((216, 334), 1), nod=-30, work=("seat",))
    up = replace(up, near=planted(hip, (288, 328)), far=planted(hip, (296, 326)))
    return on_mat(up, LIE_BENT.ghost(), arrow((186, 232), (186, 176)))


def seated_march() -> str:
    lift = replace(SIT_SIDE, near=Leg(120, 4), arm=Arm((176, 278), -1), work=("thigh",))
    return sitting(lift, SIT_SIDE.ghost(trunk=False), arrow((276, 286), (276, 226)))


def standing_march() -> str:
    hold, hang = Arm((216, 148), -1), Arm((166, 196), -1)
    lift = replace(STAND_SIDE, near=Leg(84, -4), far=Leg(0, 0), arm=hang, far_arm=hold, work=("thigh",))
    chair = support(220, -1, top=150, depth=96)
    return chair + STAND_SIDE.ghost(trunk=False) + lift.draw() + arrow((304, 262), (304, 196))


def lying_heel_slide() -> str:
    slide = replace(LIE_FLAT, near=planted(LIE_FLAT.hip, (282, 328)), work=("thigh",))
    return on_mat(slide, LIE_FLAT.ghost(trunk=False), arrow((384, 268), (320, 268), -15))


def seated_heel_raise() -> str:
    raised = replace(
        SIT_SIDE, near=planted(SIT_SIDE.hip, (240, 331), foot=56), far=planted(SIT_SIDE.hip, (246, 331), foot=56)
    )
    raised = replace(raised, work=("calf",))
    return sitting(raised, SIT_SIDE.ghost(trunk=False), arrow((184, 356), (184, 306)))


def standing_heel_raise() -> str:
    hip = (182.0, STAND_Y - 12)
    near, far = (planted(hip, (x, 331), foot=56) for x in (186, 194))
    up = replace(STAND_SIDE, hip=hip, near=near, far=far, work=("calf",))
    return support(244, 1) + STAND_SIDE.ghost() + up.draw() + arrow((128, 352), (128, 292))


def lying_ankle_pump() -> str:
    point = replace(LIE_FLAT, near=Leg(90, 90, 110), far=Leg(90, 90, 110))
    pull = replace(LIE_FLAT, work=("calf", "shin"))
    return on_mat(pull, point.ghost(trunk=False), arrow((390, 284), (352, 256), 25))


def seated_reach() -> str:
    apart = replace(KNEE_DOWN, thigh=28)
    start = replace(SIT_FRONT, left=apart, right=apart)
    reach = replace(start, lean=14, right_arm=Arm((355, 194), 1), work=("waist",))
    return sitting(reach, start.ghost(legs=False), arrow((268, 134), (330, 150), 15))


def standing_weight_shift() -> str:
    start = replace(STAND_FRONT, hip=(200, STAND_Y), left=Leg(8, 6), right=Leg(8, 6))
    hip = (224.0, STAND_Y + 1)
    left, right = planted((205, hip[1] + 1), (162, FEET_Y), knee=-1), planted((243, hip[1]), (238, FEET_Y))
    over = replace(start, hip=hip, left=mirrored(left), right=right, left_arm=Arm((116, 176), -1), work=("outer_r",))
    over = replace(over, right_arm=Arm((276, 196), 1))
    return beside_chair(over, start.ghost(), arrow((286, 48), (344, 48)))


def seated_trunk_turn() -> str:
    start = replace(SIT_FRONT, left_arm=Arm((222, 186), -1), right_arm=Arm((180, 196), 1))
    turn = replace(start, turn=1, left_arm=Arm((232, 186), -1), right_arm=Arm((190, 196), 1), work=("waist",))
    return sitting(turn, start.ghost(legs=False), arrow((156, 98), (244, 98), 30))


def lying_knee_sway() -> str:
    left, right = Leg(-54, 30, thigh_length=64, shin_length=50), Leg(54, -28, thigh_length=60, shin_length=50)
    sway = replace(LIE_ABOVE, left=left, right=right, work=("waist",))
    sway = replace(sway, left_arm=Arm((112, 196), -1), right_arm=Arm((288, 196), 1))
    return from_above(sway, LIE_ABOVE.ghost(trunk=False), arrow((232, 322), (296, 304), -22))


MOVES: tuple[Callable[[], str], ...] = (
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
    lying_leg_lift,
    seated_march,
    standing_march,
    lying_heel_slide,
    seated_heel_raise,
    standing_heel_raise,
    lying_ankle_pump,
    seated_press,
    standing_sit_to_stand,
    lying_bridge,
    seated_reach,
    standing_weight_shift,
    seated_trunk_turn,
    lying_knee_sway,
)


def drawings() -> dict[str, str]:
    """Every SVG by its name; the title is the alt text of the move that shows it."""
    titles = alt_texts(HERE / "challenge.toml")
    names = {draw.__name__.replace("_", "-"): draw for draw in MOVES}
    return {
        name: page(draw(), titles[f"{name}.png"], floor=not name.startswith("lying")) for name, draw in names.items()
    }


def png(svg: str) -> bytes:
    """What mails show, for mail programs draw no SVG."""
    import resvg_py
    from PIL import Image

    image = Image.open(BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=PNG_WIDTH)))).convert("RGB")
    small = BytesIO()
    image.quantize(PNG_COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> None:
    folder = HERE / "pictures"
    folder.mkdir(exist_ok=True)
    for name, svg in drawings().items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        (folder / f"{name}.png").write_bytes(png(svg))


if __name__ == "__main__":
    main()
