"""What sample doctors offer: services, weeks of opening hours, time off."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

# Minutes of the day: (opens, closes) per weekday.
Week = dict[int, list[tuple[int, int]]]


def _h(hours: float) -> int:
    return int(hours * 60)


FULL = [(_h(8), _h(12)), (_h(13), _h(17))]
LATE = [(_h(10), _h(13)), (_h(14), _h(19))]
MORNING = [(_h(8.5), _h(12.5))]
AFTERNOON = [(_h(13), _h(18))]

WEEKS: tuple[Week, ...] = (
    {0: FULL, 1: FULL, 2: FULL, 3: FULL, 4: MORNING},
    {0: FULL, 1: LATE, 2: MORNING, 3: FULL, 4: FULL},
    {0: LATE, 1: LATE, 3: LATE, 4: MORNING},
    {0: MORNING, 1: FULL, 2: FULL, 3: MORNING, 5: [(_h(9), _h(13))]},
    {1: FULL, 2: FULL, 3: FULL, 4: FULL},
    {0: AFTERNOON, 1: FULL, 2: AFTERNOON, 4: FULL},
)


@dataclass(frozen=True)
class Offer:
    name: str
    minutes: int
    buffer: int
    price: int | None  # cents
    visit: str = "in_person"
    bring: str = ""


_BRING = "Insurance card, ID, and a list of the medicines you take."
_SPECIAL = {
    "Family Medicine": Offer("Annual physical", 45, 5, 21000, bring=_BRING),
    "Internal Medicine": Offer("Annual physical", 45, 5, 22500, bring=_BRING),
    "Pediatrics": Offer("Well-child visit", 30, 5, 17500, bring="The child's vaccination record."),
    "Dermatology": Offer("Full skin check", 30, 0, 19500),
    "Cardiology": Offer("Visit with heart tracing (ECG)", 45, 5, 29000, bring=_BRING),
    "Optometry": Offer("Eye exam", 40, 5, 12500, bring="Your glasses or contact lenses."),
    "Ophthalmology": Offer("Eye exam", 40, 5, 16500, bring="Your glasses or contact lenses."),
    "Obstetrics and Gynecology": Offer("Prenatal visit", 30, 0, 18000),
    "Physical Therapy": Offer("Treatment", 45, 0, 11000, bring="Comfortable clothes."),
    "Chiropractic": Offer("Treatment", 25, 5, 8500),
    "Audiology": Offer("Hearing test", 50, 10, 14000),
    "Ear, Nose and Throat": Offer("Hearing and sinus check", 30, 5, 21500),
    "Orthopedic Surgery": Offer("Joint consultation", 30, 5, 24000, bring="Earlier X-rays."),
}
_TALKING = {"Psychiatry", "Clinical Psychology", "Geriatric Psychiatry", "Addiction Medicine"}


def offers_of(specialty: str, rng: Random) -> list[Offer]:
    """Services of a doctor of ``specialty``, the most asked-for one first."""
    dearer = rng.choice([0, 0, 1000, 2500])
    if specialty in _TALKING:
        offers = [
            Offer("First conversation", 60, 15, 26000 + dearer),
            Offer("Session", 50, 10, 19000 + dearer),
        ]
    else:
        offers = [
            Offer("New patient visit", rng.choice([40, 45, 60]), 5, 24000 + dearer, bring=_BRING),
            Offer("Follow-up visit", rng.choice([20, 25, 30]), rng.choice([0, 5]), 13500 + dearer),
        ]
    if specialty in _SPECIAL:
        offers.append(_SPECIAL[specialty])
    if rng.random() < 0.6:
        offers.append(Offer("Video visit", 20, 5, 9500 + dearer, visit="video"))
    if rng.random() < 0.1:  # some clinics do not publish their prices
        offers = [Offer(o.name, o.minutes, o.buffer, None, o.visit, o.bring) for o in offers]
    return offers


def split_week(week: Week) -> tuple[Week, Week]:
    """Divides a week between two clinics: the last weekday goes to the second one."""
    last = max(week)
    return {day: spans for day, spans in week.items() if day != last}, {last: week[last]}
