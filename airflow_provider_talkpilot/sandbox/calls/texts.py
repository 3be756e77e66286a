"""The words of the made-up calls. No person and no thing in them is real."""

from __future__ import annotations

from typing import NamedTuple


class Language(NamedTuple):
    """The words of one language."""

    code: str
    agent_names: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    employees: tuple[str, ...]
    requests: tuple[str, ...]
    summary: str
    notes: tuple[str, ...]
    prompt: str
    greeting: str
    turns: tuple[tuple[str, str], ...]
    goodbye: tuple[str, str]


GERMAN = Language(
    code="de",
    agent_names=("Empfang Zahnarztpraxis Müßig", "Werkstatt Ölwechsel & Söhne", "Hotel Süßes Eck"),
    first_names=("Jürgen", "Käthe", "Björn", "Anke", "Zoë", "Günther", "Sören", "Ulrike", "Ayşe"),
    last_names=(
        "Müller",
        "Weiß",
        "Schäfer",
        "Großmann",
        "Köhler",
        "Von der Höh",
        "Jäger",
        "Öztürk",
    ),
    employees=("Frau Böhm", "Herr Lüders", "Dr. Strauß"),
    requests=(
        "Termin verschieben",
        "Rückruf wegen Rechnung",
        "Ölwechsel für einen Kombi",
        "Frage zu Öffnungszeiten",
        "Zimmer für zwei Nächte",
        "Rezept abholen",
    ),
    summary="{name} rief an: {request}. Vereinbart wurde Tür {number}, Rückmeldung bis Freitag.",
    notes=(
        "Zurückgerufen, alles geklärt.",
        "Bitte nächste Woche nachfassen!",
        "Schlüssel übergeben",
    ),
    prompt="Du nimmst Anrufe an. Frage nach Namen und Anliegen, sei höflich und fasse dich kurz.",
    greeting="Guten Tag, Sie sprechen mit dem digitalen Assistenten. Wie kann ich Ihnen helfen?",
    turns=(
        ("user", "Grüß Gott, es geht um: {request}."),
        ("agent", "Gern. Darf ich Ihren Namen notieren?"),
        ("user", "{name}, mit Umlaut natürlich."),
        ("agent", "Vielen Dank. Passt Ihnen Donnerstag um {number} Uhr?"),
        ("user", "Ja, das wäre schön. Größere Pläne habe ich nicht."),
    ),
    goodbye=("agent", "Das ist notiert. Auf Wiederhören!"),
)

ENGLISH = Language(
    code="en",
    agent_names=("Front desk Riverside Dental", "O'Hara's Garage", "The Old Mill Hotel"),
    first_names=("Emma", "Liam", "Siobhán", "Noah", "Chloé", "Oliver", "Renée", "Jack", "Amelia"),
    last_names=("Smith", "O'Neill", "Brown", "Fitzgerald", "Núñez", "Walker", "D'Arcy", "Young"),
    employees=("Ms Porter", "Mr O'Connell", "Dr Reyes"),
    requests=(
        "move an appointment",
        "a call back about an invoice",
        "an oil change",
        "opening hours",
        "a room for two nights",
        "a prescription refill",
    ),
    summary="{name} called about {request}. We agreed on desk {number} and an answer by Friday.",
    notes=("Called back, all settled.", "Follow up next week!", "Left a voicemail"),
    prompt="You answer calls. Find out the name and the request, be polite and be brief.",
    greeting="Hello, this is the digital assistant speaking. How can I help you?",
    turns=(
        ("user", "Hi there, it's about {request}."),
        ("agent", "Of course. May I take your name?"),
        ("user", "It's {name}."),
        ("agent", "Thank you. Would Thursday at {number} suit you?"),
        ("user", "Yes, that'd be lovely."),
    ),
    goodbye=("agent", "All noted. Goodbye!"),
)

LANGUAGES = (GERMAN, ENGLISH)

HARD_TEXTS = (
    'Er sagte: "Größe 42\\43", dann Ende',
    "line one\nline two\r\nline three\ttabbed",
    "before\u2028after U+2028\u2029after U+2029\x85after U+0085",
    "Emoji \U0001f469\u200d\U0001f52c \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd done",
    "C:\\temp\\new 'single' \"double\" `back` %s {0} ${x} </script>",
    "e\u0301 combining, \u202eright-to-left\u202c, zero\u200bwidth, \ufeffmark",
    "\x0bvertical tab \x0cform feed \x1cfile separator",
    '{"looks": ["like", "JSON"], "n": null}',
    "=SUM(A1:A9);--'; DROP TABLE calls; #",
)
"""Texts that break careless readers: line separators, quotes, backslashes, emoji, look-alikes."""
