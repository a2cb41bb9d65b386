'use strict';

// Plays a recorded run: a table of kernel calls, made by book/preprocessor/src/trace.rs.
// Each row says in `data-changes` which facts of the picture it changes:
// [["container", "host name", ["crate"]], …]. A fact without values is gone. The picture
// after a call is the sum of the changes up to its row. Without this script, and on
// paper, the table is all there is.

(function traces() {
    const PLACES = ['host', 'container'];

    // Makes an element: element('p', { className: 'why' }, 'text', child, …).
    function element(name, properties, ...children) {
        const made = Object.assign(document.createElement(name), properties);
        made.append(...children);
        return made;
    }

    // Returns the picture after the call of this number, as a map from "place/label".
    function pictureAfter(trace, number) {
        const picture = new Map();
        const changes = trace.rows.slice(0, number + 1).map(row => row.changes);
        for (const [place, label, values] of [trace.begin, ...changes].flat()) {
            picture.set(`${place}/${label}`, values);
        }
        return picture;
    }

    // Reads the table.
    function read(figure) {
        const rows = Array.from(figure.querySelectorAll('tbody > tr'), row => ({
            who: row.dataset.who,
            own: row.classList.contains('own'),
            changes: JSON.parse(row.dataset.changes),
            cells: Array.from(row.cells),
        }));
        return {
            rows,
            labels: JSON.parse(figure.dataset.labels),
            begin: JSON.parse(figure.dataset.begin),
            first: Number(figure.dataset.first),
        };
    }

    // Makes the timeline: a lane for each process, with a mark for each of its calls.
    function timeline(trace, go) {
        const lanes = element('div', { className: 'trace-lanes' });
        lanes.setAttribute('aria-hidden', 'true'); // the slider says the same
        lanes.style.setProperty('--calls', trace.rows.length);
        const marks = [];
        for (const who of ['parent', 'child', 'grandchild']) {
            if (!trace.rows.some(row => row.who === who)) {
                continue;
            }
            const lane = element('div', { className: 'trace-lane' });
            trace.rows.forEach((row, number) => {
                if (row.who === who) {
                    const mark = element('i', { title: row.cells[0].textContent });
                    mark.classList.toggle('own', row.own);
                    mark.style.gridColumn = number + 1;
                    mark.addEventListener('click', () => go(number));
                    lane.append(mark);
                    marks[number] = mark;
                }
            });
            lanes.append(element('span', {}, who), lane);
        }
        return { lanes, marks };
    }

    // Makes the picture: the box of the container is in the box of the host.
    function picture(trace) {
        const facts = new Map();
        const boxes = PLACES.map(place => {
            const list = element('dl', {});
            for (const label of trace.labels[place]) {
                const value = element('dd', {});
                const fact = element('div', {}, element('dt', {}, label), value);
                facts.set(`${place}/${label}`, { fact, value });
                list.append(fact);
            }
            const box = element('div', { className: 'trace-box' }, element('b', {}, place), list);
            box.setAttribute('role', 'group');
            box.setAttribute('aria-label', place);
            return box;
        });
        boxes[0].append(boxes[1]);

        function show(number) {
            const [before, now] = [number - 1, number].map(at => pictureAfter(trace, at));
            const changed = trace.rows[number].changes.map(([place, label]) => `${place}/${label}`);
            for (const [key, { fact, value }] of facts) {
                const values = now.get(key) || [];
                const old = before.get(key) || [];
                const come = values.filter(text => !old.includes(text));
                // A value that has changed is shown once: the new one.
                const gone = old.filter(text => !values.includes(text)).slice(come.length);
                fact.hidden = values.length + gone.length === 0;
                fact.classList.toggle('changed', changed.includes(key));
                value.replaceChildren(
                    ...values.map(text => element(come.includes(text) ? 'strong' : 'div', {}, text)),
                    ...gone.map(text => element('del', {}, text)),
                );
            }
            boxes[1].hidden = !boxes[1].querySelector('dl > div:not([hidden])');
        }
        return { box: boxes[0], show };
    }

    // Puts the player before the table, which stays for print.
    function play(figure) {
        const trace = read(figure);
        const last = trace.rows.length - 1;
        if (last < 0) {
            return;
        }
        let current = 0;

        const slider = element('input', { type: 'range', min: 1, max: last + 1 });
        slider.setAttribute('aria-label', 'Kernel call');
        const count = element('span', { className: 'trace-count' });
        const call = element('p', { className: 'trace-call' });
        const why = element('p', {});
        const changes = element('div', { className: 'trace-changes' });
        const said = element('div', {}, call, why, changes);
        said.setAttribute('aria-live', 'polite');
        said.setAttribute('aria-atomic', 'true');
        const source = element('div', { className: 'trace-source' });

        function button(text, target) {
            const made = element('button', { type: 'button' }, text);
            made.addEventListener('click', () => go(target()));
            return made;
        }
        const first = button('First', () => 0);
        const back = button('Back', () => current - 1);
        const next = button('Next', () => current + 1);
        const end = button('Last', () => last);
        const { lanes, marks } = timeline(trace, go);
        const { box, show } = picture(trace);

        function go(number) {
            current = Math.min(Math.max(number, 0), last);
            const row = trace.rows[current];
            const copy = cell => Array.from(cell.cloneNode(true).childNodes);
            slider.value = current + 1;
            slider.setAttribute('aria-valuetext', `${current + 1} of ${last + 1}`);
            count.textContent = `${current + 1} of ${last + 1}`;
            call.replaceChildren(...copy(row.cells[0]));
            why.textContent = row.cells[1].firstChild.textContent;
            changes.replaceChildren(...copy(row.cells[2]));
            // Without the reason, and the line break after it.
            source.replaceChildren(...copy(row.cells[1]).slice(2));
            marks.forEach((mark, at) => {
                mark.classList.toggle('past', at <= current);
                mark.classList.toggle('current', at === current);
            });
            // A disabled button would lose the focus.
            for (const [it, isAtEnd] of [[first, current === 0], [back, current === 0],
                [next, current === last], [end, current === last]]) {
                it.setAttribute('aria-disabled', isAtEnd);
            }
            show(current);
        }

        const player = element('div', { className: 'trace-player' },
            element('div', { className: 'trace-bar' }, first, back, next, end, count),
            element('div', { className: 'trace-slider' }, slider),
            lanes, said, source, box);
        player.setAttribute('role', 'group');
        player.setAttribute('aria-label', 'Player: arrow keys step through the calls');
        slider.addEventListener('input', () => go(slider.value - 1));
        player.addEventListener('keydown', event => {
            const targets = {
                ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: last,
            };
            const isPlain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.shiftKey;
            if (isPlain && event.key in targets) {
                event.preventDefault();
                // The page's own arrow keys turn to another chapter.
                event.stopPropagation();
                go(targets[event.key]);
            }
        });

        figure.classList.add('playing');
        figure.querySelector('figcaption').after(player);
        go(trace.first);
    }

    document.querySelectorAll('figure.trace').forEach(play);
})();
