"""The stream: `dataflows.battery` is the flow; its neighbours are the topic source and the pure logic."""
