'use strict';

/* global sectionsOfChapter */

// Makes slides of a chapter, behind the address `03-mount.html#slides`: one a section, with
// its picture, a listing or terminal, and what is said about it.
(function slides() {
    const WIDTH = 1280;
    const HEIGHT = 720;
    const MAX_LINES = 20;
    let deck = null;

    window.addEventListener('hashchange', openOrClose);
    window.addEventListener('resize', scale);
    // Before mdBook's own keys, which go to the next chapter.
    window.addEventListener('keydown', turn, { capture: true });
    openOrClose();

    function openOrClose() {
        const [, number] = location.hash.match(/^#slides(?:-(\d+))?$/) ?? [];
        const isOpen = location.hash.startsWith('#slides');
        if (isOpen && !deck && sectionsOfChapter().length > 0) {
            deck = makeDeck();
            document.body.append(deck);
            deck.querySelectorAll('.slide').forEach(fit);
        }
        document.documentElement.classList.toggle('slides-open', isOpen && deck !== null);
        if (deck && isOpen) {
            show(Number(number ?? 1) - 1);
        } else {
            deck?.remove();
            deck = null;
        }
    }

    function makeDeck() {
        const deck = document.createElement('div');
        deck.className = 'deck';
        deck.setAttribute('role', 'main');
        deck.setAttribute('aria-label', 'Slides');
        const title = document.querySelector('main h1').textContent;
        sectionsOfChapter().forEach((section, index, all) => {
            const slide = document.createElement('section');
            slide.className = 'slide';
            slide.dataset.section = index;
            const head = document.createElement('h1');
            head.textContent = section.heading.textContent;
            const body = document.createElement('div');
            body.className = 'body';
            body.append(...contentOf(section.heading));
            const foot = document.createElement('p');
            foot.className = 'foot';
            foot.textContent = `${title} · ${section.minutes} min · ${index + 1} of ${all.length}`;
            slide.append(head, body, foot);
            deck.append(slide);
        });
        return deck;
    }

    // Copies of the picture, of the longest listing or terminal that a slide can hold (or else
    // of the shortest one), and of the paragraph above that. A section without code has its
    // table, and its first paragraph or list.
    function contentOf(heading) {
        const blocks = [];
        for (let it = heading.nextElementSibling; it && !it.matches('h2'); it = it.nextElementSibling) {
            blocks.push(it);
        }
        const lines = it => it.innerText.split('\n').length;
        // What follows the list of tasks is about their check.
        const tasks = blocks.findIndex(it => it.matches('ol'));
        const code = [blocks.slice(0, Math.max(tasks, 0)), blocks]
            .map(part => part.filter(it => it.matches('.transcript, pre')))
            .find(part => part.length > 0) ?? [];
        code.sort((a, b) => lines(a) - lines(b));
        const longest = code.findLast(it => lines(it) <= MAX_LINES) ?? code[0];
        const shown = longest ?? blocks.find(it => it.matches('.table-wrapper'));
        const isText = it => it.matches('p:not(.minutes), h3');
        const isList = it => it.matches('ul, ol');
        const above = shown ? blocks.slice(0, blocks.indexOf(shown)) : blocks;
        const found = [
            (longest ? above.findLast(isText) : above.find(isText)) ?? above.find(isList),
            blocks.find(it => it.matches('.picture')),
            shown,
        ];
        return found.filter(it => it !== undefined).map(it => {
            if (it.matches('h3')) {
                return Object.assign(document.createElement('p'), { textContent: it.textContent });
            }
            const copy = it.cloneNode(true);
            copy.querySelectorAll('.buttons').forEach(buttons => buttons.remove());
            // Arrow heads are found by id, and those of the page are hidden.
            const ids = /(\bid="|url\(#|href="#)/g;
            copy.innerHTML = copy.innerHTML.replace(ids, '$1slide-');
            return copy;
        });
    }

    // Makes the letters smaller until the slide holds its content, and cuts what is longer.
    function fit(slide) {
        const body = slide.querySelector('.body');
        const isTooLarge = () => body.scrollHeight > body.clientHeight + 1
            || Array.from(body.querySelectorAll('code, samp'))
                .some(it => it.scrollWidth > it.clientWidth + 1);
        for (let percent = 100; percent >= 60 && isTooLarge(); percent -= 5) {
            body.style.setProperty('--fit', percent / 100);
        }
        body.classList.toggle('cut', body.scrollHeight > body.clientHeight + 1);
    }

    function show(index) {
        const slides = Array.from(deck.children);
        const last = slides.length - 1;
        slides.forEach((slide, at) => {
            slide.classList.toggle('shown', at === Math.min(Math.max(index, 0), last));
        });
        scale();
    }

    function scale() {
        const factor = Math.min(window.innerWidth / WIDTH, window.innerHeight / HEIGHT);
        deck?.style.setProperty('--scale', factor);
    }

    function turn(event) {
        const steps = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ' ': 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
        if (!deck || event.ctrlKey || event.metaKey || event.altKey) {
            return;
        }
        if (event.key === 'Escape') {
            history.replaceState(null, '', location.pathname);
            openOrClose();
        } else if (event.key in steps) {
            const at = Number(deck.querySelector('.shown').dataset.section) + steps[event.key];
            const to = Math.min(Math.max(at, 0), deck.children.length - 1) + 1;
            history.replaceState(null, '', `#slides-${to}`);
            show(to - 1);
        } else {
            return;
        }
        event.preventDefault();
        event.stopImmediatePropagation();
    }
})();
