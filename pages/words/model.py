"""Words of the Model page: its headings."""

from __future__ import annotations

TITLE = "How good is the model?"
DOES_80_MEAN_80 = "Does 80\u00a0% mean 80\u00a0%?"
DOES_IT_KNOW = "Does it know what it does not know?"
DOES_THE_MAP_POINT = "Does the map point at the tumour?"
DOES_A_CHANGE_CHANGE = "Does a small change of the scan change the answer?"
HOW_MUCH_IS_DOUBLE = "How much of the data is double?"
