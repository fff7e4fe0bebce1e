"""From frames to judged events: what `tocsin vision watch` does with a folder and a gateway with its cameras."""
