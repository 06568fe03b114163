"""Names for containers whose users give them none: two words, as Docker chooses them. Pure."""

from collections.abc import Callable

_QUALITIES = """
able agile amber apt brave bright brisk calm candid clever coral crisp deft eager early fair fond frank fresh gentle
glad golden grand happy hardy honest jolly keen kind lively lucid lucky mellow merry mild modest neat nimble noble
patient plain polite proud quick quiet rapid ready sharp silver simple sleek smart solid steady sunny swift tidy
vivid warm wise witty young zesty
"""
_FISH = """
anchovy barracuda bass bream carp catfish chub cod dace dorado eel flounder garfish goby grayling grouper guppy
haddock hake halibut herring lamprey ling loach mackerel marlin minnow mullet perch pike plaice pollock ray roach
salmon sardine seahorse shark skate smelt snapper sole sprat sturgeon sunfish tench tetra trout tuna turbot wrasse
zander
"""
_FIRST, _SECOND = _QUALITIES.split(), _FISH.split()


def choose_name(number: int, is_taken: Callable[[str], bool]) -> str:
    """A name that is free: two words, and a number where these are taken.

    Args:
        number: any, which decides; at least 40 bits.
    """
    number, first = divmod(number, len(_FIRST))
    number, second = divmod(number, len(_SECOND))
    name = f"{_FIRST[first]}_{_SECOND[second]}"
    return name if not is_taken(name) else f"{name}{number % 1_000_000}"
