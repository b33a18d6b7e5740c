#!/usr/bin/env python3
"""Computes reference.json over the pooled rows in exact rational arithmetic. Run in this folder; prints the document."""

import csv
import json
from fractions import Fraction

DATA = "../../testnet/data"
MISSING = ("", "NA", "NaN", ".")


def rows(folder, sites):
    return [row for site in sites for row in csv.DictReader(open(f"{DATA}/{folder}/{site}.csv"))]


def statistics(values):
    count, total = len(values), sum(values)
    mean = total / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return {"count": count, "sum": float(total), "mean": float(mean), "variance": float(variance)}


def table(rows, columns, by=None):
    result = {}
    for column in columns:
        groups, missing = {}, 0
        for row in rows:
            label = "" if by is None else row[by].strip()
            value = row[column].strip()
            if value in MISSING or (by is not None and label in MISSING):
                missing += 1
            else:
                groups.setdefault(label, []).append(Fraction(value))
        result[column] = {"missing": missing, "groups": {k: statistics(groups[k]) for k in sorted(groups)}}
    return result


hospitals = ["harlem", "hennepin", "kentucky", "mississippi"]
opt = rows("opt", hospitals)
adults = [row for row in rows("opt", ["harlem", "kentucky", "mississippi"]) if float(row["Age"]) >= 20]
indo = rows("indo_rct", ["indiana", "kentucky", "michigan"])
columns = ["Birthweight", "Age", "BMI"]
print(json.dumps({
    "opt": table(opt, columns),
    "opt by Group": table(opt, columns, "Group"),
    "opt by Preg.ended...37.wk": table(opt, ["Birthweight"], "Preg.ended...37.wk"),
    "opt without hennepin by Group where Age >= 20": table(adults, ["Birthweight"], "Group"),
    "indo_rct without case_western by rx": table(indo, ["age"], "rx"),
}, indent=1))
