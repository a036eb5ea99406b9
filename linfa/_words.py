"""Prose with Greek letters, indices and powers, set for LaTeX and HTML."""

import html
import re
import unicodedata
from collections.abc import Callable

# Characters of the words that LaTeX's default fonts lack, as it writes them.
_LATEX_WORDS = {
    "ᵀ": r"$^\top$", "⁺": r"$^+$", "²": r"$^2$", "³": r"$^3$", "ⁿ": r"$^n$", "⁴": r"$^4$", "⁵": r"$^5$",
    "⁶": r"$^6$", "⁷": r"$^7$", "⁸": r"$^8$", "⁰": r"$^0$", "½": r"$\frac12$", "¾": r"$\frac34$", "−": r"$-$",
    "·": r"$\cdot$", "×": r"$\times$", "→": r"$\to$", "∞": r"$\infty$", "≥": r"$\ge$", "≤": r"$\le$", "≠": r"$\ne$",
    "≈": r"$\approx$", "∝": r"$\propto$", "∈": r"$\in$", "∫": r"$\int$", "∂": r"$\partial$", "√": r"$\surd$",
    "…": r"\dots{}", "⊥": r"$\perp$", "⁻": r"$^-$", "¹": r"$^1$", "₀": r"$_0$", "₁": r"$_1$", "₂": r"$_2$",
    "⇔": r"$\Leftrightarrow$", "⟂": r"$\perp$", "±": r"$\pm$", "∘": r"$\circ$", "⊗": r"$\otimes$", "Σ": r"$\Sigma$",
    "Π": r"$\Pi$", "Δ": r"$\Delta$", "Φ": r"$\Phi$", "Γ": r"$\Gamma$", "Λ": r"$\Lambda$", "Ω": r"$\Omega$",
    "Θ": r"$\Theta$", "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "ε": r"$\varepsilon$",
    "ζ": r"$\zeta$", "η": r"$\eta$", "θ": r"$\theta$", "κ": r"$\kappa$", "λ": r"$\lambda$", "μ": r"$\mu$",
    "ν": r"$\nu$", "ξ": r"$\xi$", "π": r"$\pi$", "ρ": r"$\rho$", "σ": r"$\sigma$", "τ": r"$\tau$",
    "φ": r"$\varphi$", "ψ": r"$\psi$", "ω": r"$\omega$", "ϕ": r"$\phi$", "ℓ": r"$\ell$", "‖": r"$\|$",
    "←": r"$\leftarrow$", "⋯": r"$\cdots$", "≪": r"$\ll$", "≫": r"$\gg$", "≡": r"$\equiv$", "∑": r"$\sum$",
    "⟨": r"$\langle$", "⟩": r"$\rangle$", "’": "'", "“": "``", "”": "''", "–": "--", "—": "---", "ø": r"\o{}",
    "é": r"\'e", "ś": r"\'s", "\u0303": r"\~{}", "\u0302": r"\^{}", "∓": r"$\mp$", "χ": r"$\chi$",
}  # fmt: skip
_LATEX_SPECIAL = {"\\": r"\textbackslash{}", "_": r"\_", "^": r"\^{}", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
                  "{": r"\{", "}": r"\}", "~": r"\~{}"}  # fmt: skip


# Raised and lowered parts of the words: ^{…} (one more level inside), _{…}, and a letter's one-sign index as in W_1.
_RAISED = re.compile(r"\^\{((?:[^{}]|\{[^{}]*\})*)\}")
_LOWERED = re.compile(r"_\{((?:[^{}]|\{[^{}]*\})*)\}")
_INDEX = re.compile(r"(?<=[A-Za-z\u0370-\u03ff])_([A-Za-z0-9])(?![A-Za-z0-9])")


def _set_words(text: str, plain: Callable[[str], str], raise_: str, lower: str) -> str:
    """Prose with its raised and lowered parts set by the two templates, the rest by `plain`."""
    for pattern, template in ((_RAISED, raise_), (_LOWERED, lower), (_INDEX, lower)):
        found = pattern.search(text)
        if found:
            before, inside, after = text[: found.start()], found.group(1), text[found.end() :]
            parts = [_set_words(part, plain, raise_, lower) for part in (before, inside, after)]
            return parts[0] + template.format(parts[1]) + parts[2]
    return plain(text)


def latex_words(text: str) -> str:
    """Prose for LaTeX; characters that neither ASCII nor the table covers stay as they are, never dropped."""
    both = _LATEX_SPECIAL | _LATEX_WORDS

    def plain(part: str) -> str:
        return "".join(both.get(character) or _small(character) for character in part)

    return _set_words(text, plain, r"\textsuperscript{{{}}}", r"\textsubscript{{{}}}")


def _small(character: str) -> str:
    """Raised and lowered letters that Unicode has as characters of their own, such as ᵐ and ₖ; others as they are."""
    kind, _, code = unicodedata.decomposition(character).partition(" ")
    if kind in ("<super>", "<sub>") and code:
        letter = chr(int(code, 16))
        return rf"\text{'super' if kind == '<super>' else 'sub'}script{{{letter}}}"
    return character


def html_words(text: str) -> str:
    """Prose for HTML: escaped, with raised and lowered parts."""
    return _set_words(text, html.escape, "<sup>{}</sup>", "<sub>{}</sub>")
