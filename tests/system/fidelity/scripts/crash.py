import ctypes

print("soon")
ctypes.string_at(0)
