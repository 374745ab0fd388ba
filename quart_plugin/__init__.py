"""Flask's session in Quart: the place of the plugin, which this release does not hold yet."""
