"""The report: one HTML page that needs nothing else, and the generated parts of the documents.

results.py   what a results folder holds, and what it lacks
document.py  the tables between the markers of a Markdown document
scenario.py  the run that is filmed
film.py      recording a run, as compact JSON
page.py      the page, out of page.html, page.css and film.js
"""
