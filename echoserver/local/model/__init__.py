"""Pure: the state and the rules of the local FleetIQ. Time is an argument."""
