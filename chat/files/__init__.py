"""Files of people: storage, type detection, and text and images for models. Knows no requests and no HTML."""
