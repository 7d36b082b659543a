"""Generated documents as scanners give them: worn print in type that training never saw, and questions about lines.

Harder than `synthdoc`: till rolls and dense pages too, capitals, faded and fattened print, gaps, folds, stamps, skew to
3 degrees, JPEG. With `fonts`, pages are printed in the families of that folder that are held out of training; which
ones depends on what is in the folder, so compare numbers from one folder only. Without it, in matplotlib's.

    saccade batch --dataset synthdoc_real --set dataset.fonts=/usr/share/fonts

With `words`, a folder of word lists, four words in five are of those that training never saw.
"""

from pydantic import Field

from saccade.datasets.synthdoc import Page, Real, SynthDoc, render


class SynthDocReal(SynthDoc):
    """Generated documents, worn and scanned, in type families that training never saw."""

    fonts: str = Field("", description="Folder of fonts, searched to any depth; '': the four of matplotlib.")
    words: str = Field("", description="Folder of word lists; '': words are made up of syllables.")

    def page(self, index: int) -> Page:
        return render(self.stored_seed, index, self.page_px, real=Real(self.fonts, self.words, held_out=True))
