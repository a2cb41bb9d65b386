'use strict';

/* global ClipboardJS */

// A transcript's button copies the typed commands, without prompts and output. mdBook's
// own button copies the `code` of a `pre`, which a transcript does not have.
(function copyTyped() {
    const icon = document.getElementById('fa-copy');
    document.querySelectorAll('.transcript > pre').forEach(pre => {
        if (!pre.querySelector('kbd:not(.key)')) {
            return;
        }
        const buttons = document.createElement('div');
        buttons.className = 'buttons';
        const button = document.createElement('button');
        button.className = 'copy-typed';
        button.title = 'Copy the commands';
        button.setAttribute('aria-label', button.title);
        button.innerHTML = icon ? icon.innerHTML : 'copy';
        button.addEventListener('mouseout', () => button.title = 'Copy the commands');
        buttons.append(button);
        pre.prepend(buttons);
    });

    const typed = button => Array.from(
        button.closest('pre').querySelectorAll('kbd:not(.key)'),
        kbd => kbd.textContent,
    ).join('\n');
    new ClipboardJS('.copy-typed', { text: typed })
        .on('success', event => event.trigger.title = 'Copied')
        .on('error', event => event.trigger.title = 'The clipboard refuses');
})();

// Marks boxes that are wider than the page, and the sides on which they continue.
(function wide() {
    const boxes = document.querySelectorAll(
        'pre > code, .transcript samp, .table-wrapper, .picture',
    );

    function mark(box) {
        const hidden = box.scrollWidth - box.clientWidth;
        box.classList.toggle('scrolls', hidden > 1);
        box.classList.toggle('more-left', box.scrollLeft > 1);
        box.classList.toggle('more-right', box.scrollLeft < hidden - 1);
        // Lets the arrow keys scroll it, also in browsers that do not do so by themselves.
        if (hidden > 1) {
            box.tabIndex = 0;
        } else {
            box.removeAttribute('tabindex');
        }
    }

    const resized = new ResizeObserver(entries => entries.forEach(it => mark(it.target)));
    boxes.forEach(box => {
        resized.observe(box);
        box.addEventListener('scroll', () => mark(box), { passive: true });
    });
})();

// mdBook's button for the sidebar is a label, which no key reaches: here is a real one.
(function sidebarButton() {
    const label = document.getElementById('mdbook-sidebar-toggle');
    const isOpen = document.getElementById('mdbook-sidebar-toggle-anchor');
    if (!label) {
        return;
    }
    const button = document.createElement('button');
    button.type = 'button';
    button.className = label.className;
    for (const name of ['title', 'aria-label', 'aria-controls']) {
        button.setAttribute(name, label.getAttribute(name));
    }
    button.append(...label.childNodes);
    button.addEventListener('click', () => label.click());
    label.style.display = 'none';
    label.after(button);

    const tell = () => button.setAttribute('aria-expanded', isOpen.checked);
    isOpen.addEventListener('change', tell);
    tell();
})();

// A screen reader can go to mdBook's bar.
document.getElementById('mdbook-menu-bar')?.setAttribute('role', 'banner');
