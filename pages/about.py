"""About: how to read a reading, and what not to read into it."""

import json

import streamlit as st

from brat import WEIGHTS
from brat.figures import percent
from brat.samples import load_samples

# The first visitor of a fresh server who comes by this page's own address gets here past app.py.
if "entered" not in st.session_state:
    st.switch_page("app.py")

metrics = json.loads((WEIGHTS / "metrics.json").read_text())


def estimate(entry: dict) -> str:
    return (
        f"**{percent(entry['value'])}** (95 % interval {percent(entry['low'])} to {percent(entry['high'])})"
    )


right = estimate(metrics["protocols"]["four_classes"]["metrics"]["accuracy"])
covered = (
    f"; on slices of patients that the model had not seen it held it in "
    f"{estimate(metrics['calibration']['sets']['0.95']['coverage'])}"
    if "calibration" in metrics
    else ""
)

st.title("How to read a reading", anchor=False)
st.warning("BraTum Scans is not a medical device. Do not base a diagnosis or a treatment on it.")
text = st.container(width=820)
text.markdown(
    f"""
### The answer and its probability
The model looks at one slice and shares 100 % between four answers: glioma, meningioma, pituitary tumour,
no tumour. On slices of patients it had not seen, the likeliest answer was right in {right} of cases. A
probability is a statement about slices *like those*: 80 % means that of a hundred such slices about eighty
are what the model says. It says nothing about a slice from a sequence, a scanner or an illness that the
model never met, and the model has no fifth answer for those.

### The set
The 95 % set is the list of answers that the model cannot rule out. It is made to hold the truth 95 times of
100, for each of the four answers{covered}.
One name in the set is a firm reading; two mean that the model cannot tell them apart; three or four
mean that it does not know.

### The gate
Before it answers, the app compares the picture with the slices that the model learned from. A photograph, a
chart, another body part or another kind of image is refused, with the reason. You can ask for the reading
all the same; it is then marked. Passing the gate does not make a reading right: it only means that the
question was a fair one.

### The map
The map shows **where in the slice the answer comes from**: each place votes for each class, and the
average vote decides. Bright is where the votes for the chosen class are strongest, scaled to the strongest
place in this slice. So:
- A bright spot on the lesion you see is a reason to take the answer seriously, not proof of it.
- A bright spot on normal tissue, on the skull or in the air is a reason to distrust the answer.
- The map is coarse (14 x 14 cells over the head). It is no outline and must not be measured.
- "No tumour" has a map too. It shows which places look normal to the model and is usually spread out.

Grad-CAM comes with every reading. Grad-CAM++ and Score-CAM compute the map in other ways; where the three
disagree, trust none of them.

### CLAHE and brightness
CLAHE raises the contrast tile by tile and can make faint enhancement visible; it also raises noise.
The previews change what *you* see. "Read the enhanced scan instead" gives the changed image to the model
and shows both answers; an answer that changes with the brightness of the picture is a weak answer.

### Limits
- One slice at a time. A reading of one slice is not a reading of a patient.
- Trained on three public collections, mostly contrast-enhanced T1 slices of a few hundred patients from few
  hospitals, with their errors. The *Model* page says what was measured and on what.
- Tumours of other kinds, bleeding, stroke, abscess, inflammation and what surgery leaves are unknown to it.

### Your scans
The scan is read on the computer that runs this app and kept in its memory only, until newer scans take its
place or the app stops. No usage statistics are sent.

### Samples
"""
)
for sample in load_samples():
    text.markdown(f"- **{sample.title}.** {sample.origin}. {sample.licence}.")
text.markdown(
    """
### Where the methods come from
MobileNetV2: Sandler et al. 2018, [arXiv 1801.04381](https://arxiv.org/abs/1801.04381).
Grad-CAM: Selvaraju et al. 2017, [arXiv 1610.02391](https://arxiv.org/abs/1610.02391).
Grad-CAM++: Chattopadhyay et al. 2018, [arXiv 1710.11063](https://arxiv.org/abs/1710.11063).
Score-CAM: Wang et al. 2020, [arXiv 1910.01279](https://arxiv.org/abs/1910.01279).
Data: Cheng, *brain tumor dataset*, [figshare 1512427](https://doi.org/10.6084/m9.figshare.1512427)
(CC BY 4.0); Bhuvaji et al., *Brain Tumor Classification (MRI)*, Kaggle; Hamada, *Br35H*, Kaggle.
"""
)
