"""What movement says of a night and the day before it: sleep, wear, activity, and the rhythm of a week.

Pure: samples in, values and reasons out. Every night is computed from a fixed stretch around it, whatever
else was recorded, so that the same samples give the same row in any order and any company.
"""
