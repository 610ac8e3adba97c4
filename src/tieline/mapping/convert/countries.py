"""Countries by the names people write, as ISO 3166 codes.

Codes and English names (short, official, common) are pycountry's; the names below are further ones that CRMs hold.
Case, accents, punctuation and a leading "the" do not count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

from tieline.mapping.convert.values import Unfit, kind

_FURTHER: Final = {
    "AE": "UAE, Emirates",
    "AT": "Österreich, Oesterreich, Autriche",
    "AU": "Australien, Australie",
    "BA": "Bosnia",
    "BE": "Belgien, Belgique, België, Belgie",
    "BN": "Brunei",
    "BR": "Brasil, Brasilien, Brésil",
    "CD": "DR Congo, DRC, Congo Kinshasa, Democratic Republic of the Congo",
    "CG": "Republic of the Congo, Congo Brazzaville",
    "CH": "Schweiz, Suisse, Svizzera",
    "CI": "Ivory Coast, Cote d Ivoire",
    "CV": "Cape Verde",
    "CZ": "Czech Republic, Tschechien",
    "DE": "Deutschland, Allemagne, Alemania",
    "DK": "Danmark, Dänemark",
    "ES": "España, Spanien, Espagne",
    "FI": "Suomi, Finnland",
    "FK": "Falkland Islands",
    "FM": "Micronesia",
    "FR": "Frankreich, Francia",
    "GB": "UK, U.K., Great Britain, Britain, England, Scotland, Wales, Northern Ireland, Großbritannien",
    "GR": "EL, Griechenland, Hellas",
    "HK": "Hong Kong SAR",
    "IE": "Republic of Ireland, Éire, Irland",
    "IT": "Italia, Italien, Italie",
    "JP": "Nippon",
    "KN": "St Kitts and Nevis",
    "LC": "St Lucia",
    "LU": "Luxemburg",
    "MF": "Saint Martin",
    "MK": "Macedonia",
    "MM": "Burma",
    "MO": "Macau",
    "MX": "México, Mexiko",
    "NL": "Holland, Nederland, Niederlande, Pays-Bas",
    "NO": "Norge, Norwegen",
    "NZ": "Neuseeland, Aotearoa",
    "PL": "Polska, Polen",
    "PS": "Palestine",
    "RU": "Russia",
    "SE": "Sverige, Schweden",
    "SX": "Sint Maarten",
    "SZ": "Swaziland",
    "TL": "East Timor",
    "TR": "Turkey, Türkei",
    "TW": "Taiwan",
    "US": "U.S., U.S.A., United States of America, America, Vereinigte Staaten, États-Unis, Estados Unidos",
    "VA": "Vatican, Vatican City",
    "VC": "St Vincent and the Grenadines",
    "VG": "British Virgin Islands",
    "VI": "US Virgin Islands",
    "VN": "Vietnam",
}


class Country(NamedTuple):
    """A country in the three ways that a rule can ask for."""

    alpha2: str
    alpha3: str
    name: str


def converter(form: str) -> Callable[[Any], str | None]:
    """Return the function that `as: country` stands for; `form` is a field of `Country`."""
    found = {name: str(getattr(country, form)) for name, country in _by_name().items()}

    def convert(value: Any) -> str | None:
        if not isinstance(value, str):
            raise Unfit(f"is {kind(value)}, not a country")
        code = found.get(value)
        if code is None:
            name = _plain(value)
            if not name:
                if not value.strip():
                    return None
                raise Unfit("is not a country")
            code = found.get(name)
            if code is None:
                raise Unfit("is not a country")
        return code

    return convert


@cache
def _by_name() -> dict[str, Country]:
    import pycountry  # 50 ms, and only for those whose mapping names a country

    countries: dict[str, Country] = {}
    for entry in pycountry.countries:
        name = getattr(entry, "common_name", entry.name)
        country = Country(entry.alpha_2, entry.alpha_3, name)
        official = getattr(entry, "official_name", name)
        for spelling in (entry.alpha_2, entry.alpha_3, name, entry.name, official, *_swapped(entry.name)):
            countries.setdefault(_plain(spelling), country)
        for spelling in _FURTHER.get(entry.alpha_2, "").split(", "):
            countries.setdefault(_plain(spelling), country)
    countries.pop("", None)
    return countries


def _swapped(name: str) -> list[str]:
    """`Moldova, Republic of` is also written `Republic of Moldova`."""
    first, comma, rest = name.partition(", ")
    return [f"{rest} {first}"] if comma else []


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.replace("&", " and ").replace(".", ""))
    words = "".join(char if char.isalnum() else " " for char in letters if not unicodedata.combining(char)).casefold()
    return " ".join(words.split()).removeprefix("the ")
