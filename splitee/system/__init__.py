"""Time, energy and bytes: device profiles, links, and the codecs of what is transferred."""
