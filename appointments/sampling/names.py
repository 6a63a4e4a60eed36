"""Names of people, clinics and streets that do not exist, in towns that do."""

from __future__ import annotations

from dataclasses import dataclass


def _words(text: str) -> list[str]:
    """Split at spaces; ~ stands for a space within a name."""
    return [word.replace("~", " ") for word in text.split()]


FIRST_FEMALE = _words(
    "Abigail Adaeze Aisha Alma Amara Amina Ana Anneliese Astrid Beatriz Birgit Camille Chiara "
    "Chloé Clara Daniela Deborah Elena Élise Esther Fatima Fiona Frances Freya Gabriela Grace "
    "Hannah Hélène Hodan Ines Ingrid Irene Isabel Jana Joanna Josephine Judith Katarzyna Keiko "
    "Khadija Laila Leah Leocadia Linnea Lucía Mai Margaret María Marta Mei-Ling Mina Miriam "
    "Nadia Naomi Ngozi Noor Oluchi Paula Petra Priya Rachel Renée Rosa Ruth Sahra Sigrid Sofia "
    "Soledad Sunita Tamsin Teresa Thuy Ursula Valentina Wanda Xiomara Yasmin Yuki Zahra Zofia "
    "Zoë "
)
FIRST_MALE = _words(
    "Abdi Adrian Alejandro Amir Anders Andrés Antoine Arjun Arthur Benedikt Bogdan Bruno Carlos "
    "Cedric Chidi Daniel Dario David Diego Dmitri Edmund Eitan Elias Emeka Émile Ernesto Ezra "
    "Farid Félix Finn Gareth Georg Gustavo Hamza Hassan Henrik Hiroshi Hugo Ibrahim Ignacio "
    "Isaac Ivan Jamal Javier Joaquín Jonas José Joseph Julian Kamal Karim Kenji Kofi Lars Leon "
    "Liam Lorenzo Luca Malik Marco Mateo Matthias Miguel Mikhail Minh Nathaniel Nikolai Obinna "
    "Oscar Owen Pascal Pavel Rafael Raúl Ravi René Samuel Sanjay Sebastián Søren Tariq Theodore "
    "Tomás Viktor Wei Winston Yusuf Zachary "
)
LAST_NAMES = _words(
    "Abernathy Achebe Ahlgren Almeida Amari Arnesen Ashworth Azikiwe Baptiste Barragán Beaulieu "
    "Bergström Bianchi Björnstad Blackwood Bouchard Brennan Calloway Castellano Chaudhry Chen "
    "Cisneros Coates Costa Cyr Dalgaard Daoud Desjardins Dlamini Donnelly Dubois Eastman Egwu "
    "Ekström Elmi Engström Escobar Fairbanks Farah Ferreira Fitzgerald Fontaine Forsythe Gagnon "
    "Gallagher Gauthier Gómez Greenleaf Grünwald Gupta Haddad Hale Hargreaves Hartwell Hoang "
    "Horvat Ibáñez Iwasaki Iyer Jalloh Jansen Jørgensen Kaczmarek Kamau Kapoor Karlsen Keane "
    "Khoury Kim Kowalski Krüger Kwon Lachance Lam Lavoie LeBlanc Lefèvre Levesque Lindqvist "
    "Lombardi Lund MacLeod Maheshwari Marchetti Martínez Mbeki McAllister McKenna Mendes "
    "Mercier Mirza Moreau Nakamura Nasser Ndiaye Nguyen Nordhagen Novák Núñez O'Brien O'Donnell "
    "Okafor Okonkwo Oliveira Ortega Osei Ouellette Paredes Park Pelletier Pereira Petrov Phan "
    "Piątek Popescu Quigley Quiñones Raghunathan Ramírez Reyes Richter Rosen Rousseau Ruiz "
    "Saarinen Sabir Salazar Sandoval Santos Schäfer Serrano Sharma Silva Sokolov Søndergaard "
    "St.~Clair Stavros Sullivan Svensson Tanaka Thibodeau Tran Tremblay Tsegaye Ueda Valdés "
    "Vance Vasquez Verma Villanueva Vogel Warsame Weatherby Whitcomb Wójcik Yamamoto Yılmaz "
    "Zhao Zielinski Zuckerman "
)

# The doctors that demonstrations and tests meet first; the rest follows the real mix.
FIRST_DOCTORS = (
    ("Amara Okafor", "Cardiology", "MD", ("en", "ig")),
    ("Lucía Núñez", "Family Medicine", "MD", ("en", "es")),
    ("Hélène Lefèvre", "Dermatology", "MD", ("en", "fr")),
    ("Samuel Whitcomb", "Orthopedic Surgery", "MD", ("en",)),
    ("Mei-Ling Chen", "Pediatrics", "MD", ("en", "zh")),
    ("Priya Raghunathan", "Obstetrics and Gynecology", "DO", ("en", "hi")),
    ("Jonas Lindqvist", "Neurology", "MD", ("en", "de")),
    ("Abdi Warsame", "Internal Medicine", "MD", ("en", "so", "ar")),
    ("Zofia Kowalski", "Psychiatry", "MD", ("en", "pl")),
    ("Nathaniel O'Brien", "Ear, Nose and Throat", "MD", ("en", "ase")),
)
FIRST_PATIENTS = ("Rosa Thibodeau", "Winston Hale", "Noor Haddad", "Finn Gallagher")

PLACES = _words(
    "Anchor Beacon Birchwood Bluestone Cedar Chickadee Clearwater Compass Cranberry Driftwood "
    "Evergreen Fernwood Fieldstone Foxglove Gannet Granite Gull Heron Juniper Kestrel Lantern "
    "Larkspur Lighthouse Loon Maple Meadow Moosewood Northstar Osprey Pebble Pine Puffin Quarry "
    "Rosehip Saltmarsh Sandpiper Seaglass Slate Spruce Starfish Tamarack Tidewater Willow "
    "Windward "
)
LANDS = _words("Cove Harbor Hill Island Lake Point Ridge River Valley Woods ")
KINDS = (
    ("Family Clinic", "Clinic"),
    ("Health Center", "Clinic"),
    ("Medical Group", "Group practice"),
    ("Specialty Clinic", "Clinic"),
    ("Community Hospital", "Hospital"),
)
STREETS = _words("Bayberry Elm Ferry Harbor High Lantern Main Mill Pleasant School Summer Water ")
STREET_KINDS = ("Street", "Street", "Avenue", "Road", "Lane")


@dataclass(frozen=True)
class Town:
    name: str
    zip_code: str
    county: str
    weight: int
    state: str = "ME"
    zone: str = "America/New_York"


TOWNS = (
    Town("Portland", "04101", "Cumberland", 7),
    Town("Bangor", "04401", "Penobscot", 5),
    Town("Lewiston", "04240", "Androscoggin", 4),
    Town("Augusta", "04330", "Kennebec", 3),
    Town("Brunswick", "04011", "Cumberland", 3),
    Town("Waterville", "04901", "Kennebec", 2),
    Town("Ellsworth", "04605", "Hancock", 2),
    Town("Portland", "04102", "Cumberland", 3),
    Town("York", "03909", "York", 2),
    Town("Westbrook", "04092", "Cumberland", 2),
    Town("Presque Isle", "04769", "Aroostook", 2),
    Town("Rockport", "04856", "Knox", 2),
    Town("Farmington", "04938", "Franklin", 1),
    Town("Skowhegan", "04976", "Somerset", 1),
    Town("Belfast", "04915", "Waldo", 1),
    Town("Bar Harbor", "04609", "Hancock", 1),
    Town("Damariscotta", "04543", "Lincoln", 1),
    Town("Norway", "04268", "Oxford", 1),
    Town("Rumford", "04276", "Oxford", 1),
    Town("Bridgton", "04009", "Cumberland", 1),
    Town("Houlton", "04730", "Aroostook", 1),
    Town("Caribou", "04736", "Aroostook", 1),
    Town("Fort Kent", "04743", "Aroostook", 1),
    Town("Machias", "04654", "Washington", 1),
    Town("Calais", "04619", "Washington", 1),
    Town("Blue Hill", "04614", "Hancock", 1),
    Town("Lincoln", "04457", "Penobscot", 1),
    Town("Millinocket", "04462", "Penobscot", 1),
    Town("Dover-Foxcroft", "04426", "Piscataquis", 1),
    Town("Greenville", "04441", "Piscataquis", 1),
)
# A second clinic of one doctor, in another time zone.
CHICAGO = Town("Chicago", "60605", "Cook", 0, "IL", "America/Chicago")
