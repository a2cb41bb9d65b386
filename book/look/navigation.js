'use strict';

// Tells readers where they are: how many minutes of the chapter are left, and the names of the
// pages before and behind this one.

// The sections of a chapter, with the minutes that the preprocessor has written.
function sectionsOfChapter() {
    return Array.from(document.querySelectorAll('main h2'), heading => {
        const mark = heading.nextElementSibling;
        const isMark = mark !== null && mark.matches('p.minutes');
        return {
            heading,
            name: heading.textContent.replace('▸', '').trim(),
            isFast: heading.textContent.includes('▸'),
            minutes: isMark ? Number(mark.dataset.minutes) : 0,
        };
    });
}

// The number of the section at the top of the window, or -1 above the first one.
function currentSection(sections) {
    const line = window.innerHeight / 4;
    return sections.findLastIndex(it => it.heading.getBoundingClientRect().top < line);
}

(function minutesLeft() {
    const sections = sectionsOfChapter();
    const bar = document.querySelector('#mdbook-menu-bar .right-buttons');
    if (!bar || !sections.some(it => it.minutes > 0)) {
        return;
    }
    const label = document.createElement('span');
    label.className = 'minutes-left';
    label.title = 'The sections from here on; ▸: those of the fast lane';
    bar.prepend(label);

    function show() {
        const rest = sections.slice(Math.max(currentSection(sections), 0));
        const sum = of => of.reduce((sum, it) => sum + it.minutes, 0);
        const [fast, all] = [sum(rest.filter(it => it.isFast)), sum(rest)];
        label.textContent = fast > 0 ? `▸ ${fast} min left of ${all}` : `${all} min left`;
    }
    document.addEventListener('scroll', show, { passive: true });
    show();
})();

(function nameNeighbours() {
    const wrapper = document.querySelector('.nav-wrapper');
    const names = new Map(Array.from(
        document.querySelectorAll('#mdbook-sidebar a[href]'),
        link => [link.href.split('#')[0], link.textContent.trim()],
    ));
    if (!wrapper) {
        return;
    }
    const row = document.createElement('div');
    row.className = 'neighbours';
    for (const [rel, word] of [['prev', 'Before'], ['next', 'Next']]) {
        const button = wrapper.querySelector(`a[rel~="${rel}"]`);
        const name = button && names.get(button.href);
        if (name) {
            const link = document.createElement('a');
            link.href = button.href;
            link.className = rel;
            link.textContent = `${word}: ${name}`;
            row.append(link);
        }
    }
    wrapper.prepend(row);
})();
