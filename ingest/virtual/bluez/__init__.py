"""A Bluetooth service for programs that know only the real one: `org.bluez` on a message bus of its own.

Bleak's Linux backend, unmodified, finds and connects virtual wearables through it. What it takes over from
bluetoothd 5.66 was compared with the real one: errors, timing, what is delivered twice, what outlives a
client. Not modelled: pairing dialogs and agents, passive scanning (advertisement monitors), the battery
interface, `AcquireNotify`, Classic, and losses of a real radio.
"""
