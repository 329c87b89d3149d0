"""Every operation of FleetIQ, through the SDKs that people call it with."""
