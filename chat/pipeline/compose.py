from dataclasses import dataclass

from chat.providers.events import Usage


@dataclass
class StreamPolicy:
    pass


@dataclass
class Meter:
    usage: Usage


def compose(provider, request, policy):
    m = Meter(Usage())

    async def it():
        async for e in provider.stream(request):
            if isinstance(e, Usage):
                m.usage = e
            yield e

    return it(), m
