"""Virtual wearables beyond the chest strap: Bluetooth peripherals that truly speak their protocol."""
