"""TalkPilot's API as the sandbox serves it: routes, keys, limits, faults, webhooks."""
