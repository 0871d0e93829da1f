"""Units of measurement and money: what `5 cm` shares with `50 mm` and does not share with `5 m`."""

from fractions import Fraction

_SI = {
    "": Fraction(1),
    "k": Fraction(1000),
    "c": Fraction(1, 100),
    "m": Fraction(1, 1000),
    "d": Fraction(1, 10),
}
_SI |= {"M": Fraction(10**6), "G": Fraction(10**9), "u": Fraction(1, 10**6), "n": Fraction(1, 10**9)}

# symbol -> (dimension, factor to the dimension's base)
UNITS: dict[str, tuple[str, Fraction]] = {}


def _add(dimension: str, factor: Fraction | int | str, *names: str) -> None:
    for name in names:
        UNITS[name] = (dimension, Fraction(factor))


for _prefix, _factor in _SI.items():
    for _symbol, _dimension, _base in (
        ("m", "length", Fraction(1)),
        ("g", "mass", Fraction(1)),
        ("s", "time", Fraction(1)),
        ("L", "volume", Fraction(1, 1000)),
        ("l", "volume", Fraction(1, 1000)),
        ("N", "force", Fraction(1)),
        ("J", "energy", Fraction(1)),
        ("W", "power", Fraction(1)),
        ("V", "voltage", Fraction(1)),
        ("A", "current", Fraction(1)),
        ("Hz", "frequency", Fraction(1)),
        ("Pa", "pressure", Fraction(1)),
    ):
        _add(_dimension, _base * _factor, _prefix + _symbol)
for _name, _short in (("meter", "m"), ("metre", "m"), ("gram", "g"), ("liter", "L"), ("litre", "L")):
    for _prefix, _letter in (("", ""), ("kilo", "k"), ("centi", "c"), ("milli", "m"), ("deci", "d")):
        _add(*UNITS[_letter + _short], _prefix + _name, _prefix + _name + "s")
for _name, _short in (("watt", "W"), ("joule", "J"), ("volt", "V"), ("newton", "N"), ("pascal", "Pa")):
    _add(*UNITS[_short], _name, _name + "s")
_add("time", 1, "sec", "secs", "second", "seconds")
_add("time", 60, "min", "mins", "minute", "minutes")
_add("time", 3600, "h", "hr", "hrs", "hour", "hours")
_add("time", 86400, "day", "days")
_add("time", 7 * 86400, "week", "weeks")
_add("months", 1, "month", "months")
_add("months", 12, "year", "years", "yr", "yrs")
_add("length", "0.0254", "inch", "inches", "in")
_add("length", "0.3048", "ft", "foot", "feet")
_add("length", "0.9144", "yd", "yard", "yards")
_add("length", "1609.344", "mi", "mile", "miles")
_add("mass", "453.59237", "lb", "lbs", "pound", "pounds")
_add("mass", "28.349523125", "oz", "ounce", "ounces")
_add("mass", 10**6, "t", "ton", "tons", "tonne", "tonnes")
_add("volume", "0.003785411784", "gal", "gallon", "gallons")
_add("volume", "0.000946352946", "quart", "quarts", "qt")
_add("dollar", 1, "dollar", "dollars", "usd", "USD", "$")
_add("dollar", "0.01", "cent", "cents", "¢")
_add("euro", 1, "euro", "euros", "€", "EUR")
_add("sterling", 1, "£", "GBP")
_add("angle", 1, "degree", "degrees", "deg")
_add("speed", Fraction("1609.344") / 3600, "mph")
_add("speed", Fraction(1000, 3600), "kph", "kmph")
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_FILLERS = frozenset({"of", "the", "a", "an", "in", "units", "unit", "total", "approximately", "about"})

Unit = tuple[tuple[str, int], ...]


def parse_unit(text: str) -> tuple[Unit, Fraction, frozenset[str]]:
    """Dimensions with their powers, the factor to base units, and the words that are no known unit.

    `square inches` is length to the second; `km/h` and `km per hour` are length over time.
    """
    dimensions: dict[str, int] = {}
    factor = Fraction(1)
    unknown: set[str] = set()
    sign, power = 1, 1
    words = _words(text)
    i = 0
    while i < len(words):
        word = words[i]
        i += 1
        if word in ("per", "/", "each"):
            sign = -1
            continue
        if word.lower() in _POWERS:
            power = _POWERS[word.lower()]
            continue
        if i + 1 < len(words) and words[i] == "^" and words[i + 1].lstrip("-").isdigit():
            power = max(-9, min(9, int(words[i + 1])))
            i += 2
        found = UNITS.get(word) or UNITS.get(word.lower())
        if found:
            dimension, size = found
            if dimension == "speed":
                dimensions["length"] = dimensions.get("length", 0) + 1
                dimensions["time"] = dimensions.get("time", 0) - 1
                factor *= size
            elif dimension == "volume":
                dimensions["length"] = dimensions.get("length", 0) + 3 * sign * power
                factor *= size ** (sign * power)
            else:
                dimensions[dimension] = dimensions.get(dimension, 0) + sign * power
                factor *= size ** (sign * power)
        elif word.lower() not in _FILLERS and word.isalpha():
            unknown.add(word.lower().removesuffix("s"))
        power = 1
    return tuple(sorted((d, p) for d, p in dimensions.items() if p)), factor, frozenset(unknown)


def _words(text: str) -> list[str]:
    out: list[str] = []
    word = ""
    for char in text + " ":
        ends = char.isalpha() != word[-1:].isalpha() or not char.isalnum()
        if word and ends and not (word == "-" and char.isdigit()):
            out.append(word)
            word = ""
        if not char.isspace() and char not in "{}.,()":
            word += char
    return out
