import sys

print("last words")
sys.stdout.close()
raise ValueError("goes to standard error")
