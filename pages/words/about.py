"""Words of the About page."""

WARNING = "BraTum Scans is not a medical device. Do not base a diagnosis or a treatment on it."
IDENTIFIED = ", but this installation is configured to do so"

BODY = """
### The answer and its probability
The model looks at one slice and shares 100 % between four answers: glioma, meningioma, pituitary tumour,
no tumour.{right} A probability is a statement about slices *like those it learned from*: 80 % means that of
a hundred such slices eighty or more are what the model says. It says nothing about a slice from a sequence, a
scanner or an illness that the model never met, and the model has no fifth answer for those.

### The set
The 95 % set is the list of answers that the model cannot rule out. It is made to hold the truth 95 times of
100, for each of the four answers{covered}.
One name in the set is a firm reading; two mean that the model cannot tell them apart; three or four
mean that it does not know.

### Like the scans it knows
Before it answers, the app compares the picture with the slices that the model learned from. A photograph, a
chart, another body part or another kind of image is refused, with the reason. You can ask for the reading
all the same; it is then marked. A picture that passes need not be read
rightly: it only means that the question was a fair one.

### The map
The map shows **where in the slice the answer comes from**: each place votes for each class, and the
average vote decides. Bright is where the votes for the chosen class are strongest, scaled to the strongest
place in this slice. So:
- A bright spot on the lesion you see is a reason to take the answer seriously, not proof of it.
- A bright spot on normal tissue, on the skull or in the air is a reason to distrust the answer.
- The map is coarse (14 x 14 cells over the head, smoothed). It is no outline and must not be measured.
- "No tumour" has a map too. It shows which places look normal to the model and is usually spread out.

Grad-CAM comes with every reading. Grad-CAM++ and Score-CAM compute the map in other ways; where the three
disagree, trust none of them.

### CLAHE and brightness
CLAHE raises the contrast tile by tile and can make faint enhancement visible; it also raises noise.
They change what *you* see. *Read enhanced* gives the changed image to the model and shows both answers; an
answer that changes with the brightness of the picture is a weak answer.

### Series and worklist
A series or a volume is read slice by slice, each by itself. Answers are counted; where to look first is a run
of slices in which, averaged with those beside them, a tumour is likely. Neither is a probability for the
patient. How often such a run finds a tumour, and how often it is false, stands on the *Model* page.
The worklist puts the most suspicious scans first; a scan far down is not a scan without a tumour.

### Limits
- A reading of one slice is not a reading of a patient.
- Trained on five public collections, with their errors: T1 before and after contrast, and FLAIR, of a few
  hundred patients from few hospitals, and slices from the web whose patients and scanners are unknown. The
  *Model* page says what was measured and on what.
- Tumours of other kinds, bleeding, stroke, abscess and what surgery leaves are unknown to it. Lesions of
  multiple sclerosis it learned as no tumour.

### Your scans
A scan is read on the computer that runs this app and kept in its memory only, until newer scans take its
place or the app stops. Nothing is sent anywhere, but for reports that you send to an archive. Where a store
is set up, a verdict that you keep is stored with the reading and the scan's hash, and the picture only if you
ask for it. Names, dates of birth and the like in a DICOM header are not shown, stored or
exported{identified}. What is written into the picture itself, and into a file's name, is not looked for.

### Samples
None was seen in training. Those with a tumour are slices of patients who were held out of it for good; each
has the class that the radiologists gave, and is that slice of a plane with the largest tumour, whatever the
model reads in it. Only one that it reads wrong was looked for, to show what that looks like.
"""

METHODS = """
### Where the methods come from
MobileNetV2: Sandler et al. 2018, [arXiv 1801.04381](https://arxiv.org/abs/1801.04381).
Grad-CAM: Selvaraju et al. 2017, [arXiv 1610.02391](https://arxiv.org/abs/1610.02391).
Grad-CAM++: Chattopadhyay et al. 2018, [arXiv 1710.11063](https://arxiv.org/abs/1710.11063).
Score-CAM: Wang et al. 2020, [arXiv 1910.01279](https://arxiv.org/abs/1910.01279).
Data: Cheng, *brain tumor dataset*, [figshare 1512427](https://doi.org/10.6084/m9.figshare.1512427)
(CC BY 4.0); Bhuvaji et al., *Brain Tumor Classification (MRI)*, Kaggle; Hamada, *Br35H*, Kaggle; The Cancer
Genome Atlas, *TCGA-LGG*, with masks by Buda, Kaggle (images CC BY 3.0, masks CC BY-NC-SA 4.0); Lesjak et al.,
*open_ms_data*, and Muslim et al., both of multiple sclerosis (CC BY).
"""


def estimate(share: str, low: str, high: str) -> str:
    return f"**{share}** (95 % interval {low} to {high})"


def right(estimate: str) -> str:
    return f" On slices of patients it had not seen, the likeliest answer was right in {estimate} of cases."


def covered(share: str) -> str:
    return f"; on slices of patients that the model had not seen it held it in {share}"


def sample(title: str, origin: str, licence: str) -> str:
    return f"- **{title}.** {origin}. {licence}."
