// Posts the form that carries a message to an identity provider. Without scripts its button does the same.
document.querySelector("form[data-submit]").submit();
