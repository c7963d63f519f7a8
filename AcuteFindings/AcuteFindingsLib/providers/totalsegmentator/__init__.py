"""TotalSegmentator: bleeding on head CT; lungs, heart and vessels on chest CT."""
