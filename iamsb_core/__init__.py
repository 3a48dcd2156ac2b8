"""The science of IaMSB: when, and in which stream, an audio-visual video was forged."""
