'use strict';

/* global sectionsOfChapter, currentSection */

// The presenter's window: the page of the notes, opened by `p`, shows the notes of the
// chapter in the first window and follows it. It asks, and the first window answers: so
// the first one may go to other pages, and nothing needs a network or a server.
(function presenter() {
    const WINDOW = 'kiste-presenter';
    const QUESTION = 'kiste: where are you?';
    const page = location.pathname.split('/').pop();

    if (window.name === WINDOW && window.opener && page === 'notes.html') {
        follow(window.opener);
    } else {
        window.addEventListener('message', answer);
        document.addEventListener('keydown', openOnKey);
        document.getElementById('open-presenter')?.addEventListener('click', open);
    }

    function open() {
        window.open('notes.html', WINDOW, 'popup,width=760,height=900');
    }

    function openOnKey(event) {
        const isTyping = event.target.closest?.('input, textarea, select');
        if (event.key === 'p' && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping) {
            open();
        }
    }

    function answer(event) {
        if (event.data !== QUESTION) {
            return;
        }
        const sections = sectionsOfChapter();
        const slide = document.querySelector('.slide.shown');
        event.source.postMessage({
            chapter: /^\d\d-/.test(page) ? Number(page.slice(0, 2)) : null,
            title: document.querySelector('main h1')?.textContent ?? '',
            current: slide ? Number(slide.dataset.section) : currentSection(sections),
            sections: sections.map(({ name, isFast, minutes }) => ({ name, isFast, minutes })),
        }, '*');
    }

    function follow(opener) {
        const main = document.querySelector('main');
        const notes = new Map();
        for (const heading of main.querySelectorAll('h2')) {
            const chapter = heading.textContent.match(/^Chapter (\d+)/)?.[1];
            const box = document.createElement('div');
            for (let it = heading.nextElementSibling; it && !it.matches('h2');) {
                const next = it.nextElementSibling;
                box.append(it);
                it = next;
            }
            notes.set(Number(chapter), box);
        }
        document.documentElement.classList.add('presenter');
        main.innerHTML = '<p class="clock"></p><h1></h1><ol class="sections"></ol><div></div>';
        const [clock, title, list, box] = main.children;
        // The time at which each chapter was first shown.
        const begun = new Map();
        let shown = {};

        window.addEventListener('message', event => {
            if (event.source === opener && event.data.sections) {
                show(event.data);
            }
        });
        setInterval(() => {
            opener.postMessage(QUESTION, '*');
            tick();
        }, 500);

        function show(place) {
            const isSame = ['chapter', 'title', 'current'].every(it => shown[it] === place[it]);
            if (isSame) {
                return;
            }
            if (place.title !== shown.title) {
                title.textContent = place.title;
                box.replaceChildren(notes.get(place.chapter) ?? 'No notes for this page.');
                window.scrollTo(0, 0);
            }
            shown = place;
            if (!begun.has(place.title)) {
                begun.set(place.title, Date.now());
            }
            list.replaceChildren(...place.sections.map((section, index) => {
                const item = document.createElement('li');
                const mark = section.isFast ? ' ▸' : '';
                const minutes = section.minutes ? ` ${section.minutes} min` : '';
                item.textContent = `${section.name}${mark}${minutes}`;
                item.classList.toggle('current', index === place.current);
                item.classList.toggle('slow', !section.isFast);
                return item;
            }));
            tick();
        }

        function tick() {
            const minutes = (Date.now() - (begun.get(shown.title) ?? Date.now())) / 60000;
            const fast = shown.sections?.filter(it => it.isFast) ?? [];
            const sum = fast.reduce((sum, it) => sum + it.minutes, 0);
            const now = new Date().toTimeString().slice(0, 5);
            clock.textContent = `${now} · minute ${Math.floor(minutes)}${sum ? ` of ${sum}` : ''}`;
        }
    }
})();
