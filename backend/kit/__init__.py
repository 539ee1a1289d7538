"""The kit: machinery that several rooms need and none owns. It knows core only."""
