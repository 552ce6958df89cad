"""How to collect from a PineTime that runs InfiniTime."""

from ingest.decoders import pinetime
from ingest.profiles.profile import Port, Quiet, Tried, Watch
from store.streams import ACTIVITY_EPOCH, STEP_COUNT, Stream

STILL_AFTER_S = 300.0
"""The watch notifies only changes. The noise of its sensor alone changes a value most of the time; a watch
that lies still on a table may yet send nothing for a while."""


class PineTimeProfile(Quiet):
    """InfiniTime's motion service: steps, and acceleration ten times a second.

    While acceleration is subscribed the watch looks at its sensor also with its screen off, which takes
    battery; without (the setting `collector.acceleration_hz` is 0) the step counter may come late, too.
    """

    name = "PineTime motion"
    service_uuid = pinetime.SERVICE_UUID
    reads = "steps, acceleration at 10 Hz"
    streams: tuple[Stream, ...] = (STEP_COUNT, ACTIVITY_EPOCH)
    reference = pinetime.REFERENCE
    tried: Tried = "virtual"

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Read the step counter, where counting begins; then subscribe to it and to acceleration."""
        steps = await port.read(pinetime.STEPS_UUID)
        if steps is not None:
            port.keep("pinetime_steps", steps)
        await port.subscribe(pinetime.STEPS_UUID, "pinetime_steps")
        if not port.settings.acceleration_hz:
            return ()
        if not await port.subscribe(pinetime.MOTION_UUID, "pinetime_motion"):
            return ()
        return (Watch("pinetime_motion", max(port.settings.silent_after_s, STILL_AFTER_S)),)
