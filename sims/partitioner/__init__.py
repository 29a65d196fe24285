"""tooz partitioners in real processes: how fast the others take over, and whether their rings stay right.

Law: only tooz's public interface is used, so any of its drivers can be measured; the processes are real, and
die by SIGKILL.
"""
